"""Crossing -> People: the exact truth about a crossing, without the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from datasets.records import Artifact, Motion, save_record
from datasets.store import Store, content_key
from tasks import render
from tasks.backends.smplx import body_digest
from tasks.filming import motions_of
from tasks.ops.crossings import Crossing
from tasks.ops.truth import gather

VERSION = 1
STAGE, FILE = "exact", "people.npz"


@dataclass(frozen=True, kw_only=True)
class Config:
    """How large and how often a crossing is seen."""

    width: int = 384
    height: int = 384
    fps: int = 24


def exact(crossing: Crossing, store: Store, config: Config | None = None) -> tuple[Artifact, bool]:
    """The exact People of a crossing in the store, and whether they were there."""
    config = config or Config()
    motions = motions_of(crossing)
    body = body_digest(None, [(motion.model, motion.gender[0]) for motion in motions])
    key = content_key(STAGE, VERSION, config, [crossing.digest, body, f"render {render.VERSION}"], {})
    about = {"crossing": crossing.name, "config": config, "version": VERSION, "weights": {}}
    return store.make(STAGE, key, lambda out: _write(crossing, motions, config, out / FILE), about=about)


def _write(crossing: Crossing, motions: Sequence[Motion], config: Config, path: Path) -> None:
    rendering = render.Config(
        width=config.width, height=config.height, fps=config.fps, textures=False, shadows=False, depth=False
    )
    shot = render.stage_shot(crossing.scene, motions, None, rendering)
    # What is kept of a moment does not hold its picture.
    moments = [(moment.seen, moment.inside) for moment in render.draw(shot, rendering)]
    inside = np.stack([one for _, one in moments], axis=1)
    people, _ = gather([seen for seen, _ in moments], inside, size=rendering.size, fps=Fraction(config.fps))
    save_record(people, path)
