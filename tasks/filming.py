"""Crossing -> Clip, People: a choreographed crossing on film, and the exact truth about every frame of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from datasets.plain import to_plain
from datasets.records import Artifact, Clip, Motion, save_record
from datasets.store import Store, content_key
from datasets.video import VideoWriter
from tasks import render
from tasks.backends.smplx import body_digest
from tasks.ops.crossings import Crossing
from tasks.ops.film import expose
from tasks.ops.motion_layouts import read_motion
from tasks.ops.truth import gather

VERSION = 1
STAGE, ABOUT = "crossing", "crossing.json"


@dataclass(frozen=True, kw_only=True)
class Config:
    """How crossings are filmed; light, blur and compression are each crossing's own."""

    width: int = 512
    height: int = 512
    fps: int = 24
    gop: int = 12


def film(crossing: Crossing, store: Store, config: Config = Config()) -> tuple[Artifact, bool]:
    """The filmed crossing in the store, and whether it was there: see film_crossing for what lies in it."""
    motions = motions_of(crossing)
    body = body_digest(None, [(motion.model, motion.gender[0]) for motion in motions])
    inputs = [crossing.digest, body, f"render {render.VERSION}"]
    about = {"crossing": crossing.name, "config": config, "version": VERSION, "weights": {}}
    key = content_key(STAGE, VERSION, config, inputs, {})
    return store.make(STAGE, key, lambda out: film_crossing(crossing, out, config), about=about)


def film_crossing(crossing: Crossing, out: Path, config: Config = Config()) -> None:
    """Film into a folder: clip.mp4 in the shards' encoding, clip.npz (Clip), people.npz (exact People), crossing.json.

    People holds everyone, audience too, in the scene's order; crossing.json names scenario, seed, film and the
    audience's places on the person axis. Of a blurred frame the truth is that of the middle of the shutter's time.
    """
    moments = crossing.film.subframes
    rendering = render.Config(
        width=config.width, height=config.height, fps=config.fps * moments, crf=crossing.film.crf, gop=config.gop
    )
    shot = render.stage_shot(crossing.scene, motions_of(crossing), None, rendering)
    fps, size = Fraction(config.fps), rendering.size
    seen, inside = [], []
    with VideoWriter(out / "clip.mp4", fps=fps, size=size, crf=crossing.film.crf, gop=config.gop) as video:
        for number, exposure in enumerate(_exposures(render.draw(shot, rendering), moments)):
            video.write(expose([moment.frame.color for moment in exposure], crossing.film, number))
            middle = exposure[crossing.film.middle]
            seen.append(middle.seen)
            inside.append(middle.inside)
    people, _ = gather(seen, np.stack(inside, axis=1), size=size, fps=fps)
    save_record(people, out / "people.npz")
    save_record(
        Clip(
            key=crossing.name, source=f"{crossing.name}.mp4", sha256=crossing.digest, file="clip.mp4", start=0,
            frames=people.num_frames, fps=fps, size=size, audio=False, licence="",
        ),
        out / "clip.npz",
    )  # fmt: skip
    about = {
        "name": crossing.name, "scenario": crossing.scenario, "seed": crossing.seed, "people": people.num_people,
        "audience": list(crossing.audience), "camera": crossing.scene.cameras[0].kind, "film": to_plain(crossing.film),
    }  # fmt: skip
    (out / ABOUT).write_text(json.dumps(about, sort_keys=True, indent=1))


def motions_of(crossing: Crossing) -> list[Motion]:
    """The motions of a crossing, one a performer."""
    names = [performer.motion for performer in crossing.scene.performers]
    return [read_motion([(name, crossing.files[name])], source=name, sha256=crossing.digest) for name in names]


def _exposures(moments: Iterator[render.Moment], number: int) -> Iterator[list[render.Moment]]:
    """The moments that fall into each frame, `number` at a time; an unfinished last frame is left out."""
    while len(exposure := list(islice(moments, number))) == number:
        yield exposure
