"""Measured takes -> the figures of the suite: trackers over all clips and by scenario, masks, poses, review flags."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from datasets.npz import read_npz
from flows.bench_take import AS_FILMED, Take
from tasks.backends.trackeval import Tally, scores
from tasks.ops.review_metrics import Held, Reviewed, Share, clean_flagged, precision, recall
from tasks.score import FLAGS, MASKS, POSES, held_at, reviewed_at, tallies_at

Figures = dict[str, float | None]
COLUMNS = ("HOTA", "DetA", "AssA", "IDF1", "MOTA", "IDSW_per_minute")


@dataclass(frozen=True)
class Measured:
    """A take with what was measured of it, read from the store when it is asked for."""

    take: Take

    @cached_property
    def tallies(self) -> dict[tuple[str, str], Tally]:
        """(tracker, box or mask) -> TrackEval's counts."""
        found: dict[tuple[str, str], Tally] = {}
        for stage in ("score_rivals", "score_ours"):
            if stage in self.take.item.artifacts:
                found |= tallies_at(self.take.item.folder(stage))
        return found

    @cached_property
    def held(self) -> Held:
        """Who held whom."""
        return held_at(self.take.item.folder("score_ours"))

    @cached_property
    def reviewed(self) -> Reviewed:
        """The ids by the truth and by the judge."""
        return reviewed_at(self.take.item.folder("score_ours"))

    @cached_property
    def flags(self) -> dict[str, Any]:
        """What the judge said, and how many frames have an id on the wrong person."""
        return json.loads((self.take.item.folder("score_ours") / FLAGS).read_text())

    @cached_property
    def poses(self) -> dict[str, np.ndarray]:
        """Pose figures, row by row of the truth."""
        return read_npz(self.take.item.folder("score_ours") / POSES)

    def masks(self, stage: str) -> dict[str, np.ndarray] | None:
        """Mask figures of `score_masks` or `score_cut`, row by row; None where they were not measured."""
        return read_npz(self.take.item.folder(stage) / MASKS) if stage in self.take.item.artifacts else None


def figures(measured: Sequence[Measured], seed: int) -> dict[str, Any]:
    """All that --json prints of the suite crossings."""
    filmed = [one for one in measured if one.take.stress == AS_FILMED]
    names = list(dict.fromkeys(one.take.scenario for one in filmed))
    return {
        "suite": "crossings",
        "seed": seed,
        "clips": len(filmed),
        "trackers": by_tracker(filmed, "box"),
        "scenarios": {name: by_tracker([one for one in filmed if one.take.scenario == name], "box") for name in names},
        "masks": mask_figures(filmed, "score_masks"),
        "pose": pose_figures(filmed),
        "review": {
            "recall": _rounded(recall([one.reviewed for one in measured]).value),
            "clean_flagged": _rounded(clean_flagged([one.reviewed for one in measured]).value),
        },
    }


def by_tracker(measured: Sequence[Measured], kind: str) -> dict[str, Figures]:
    """COLUMNS of each tracker over some clips, as TrackEval combines sequences. Fractions; switches a minute."""
    names = list(dict.fromkeys(name for one in measured for name, which in one.tallies if which == kind))
    out = {}
    for name in names:
        tallies = {one.take.key: one.tallies[name, kind] for one in measured if (name, kind) in one.tallies}
        minutes = sum(one.take.seconds for one in measured if (name, kind) in one.tallies) / 60
        out[name] = tracker_figures(tallies, minutes)
    return out


def tracker_figures(tallies: dict[str, Tally], minutes: float) -> Figures:
    """COLUMNS of one tracker over sequences that last so long together."""
    found = scores(tallies)
    found["IDSW_per_minute"] = found["IDSW"] / minutes
    return {name: _rounded(found[name]) for name in COLUMNS}


def mask_figures(measured: Sequence[Measured], stage: str) -> Figures:
    """Mean J of people who stand apart and who touch somebody, and mean F, over people and frames."""
    tables = [table for one in measured if (table := one.masks(stage)) is not None]
    if not tables:
        return {"J_apart": None, "J_contact": None, "F": None}
    contact, j, f = (np.concatenate([table[name] for table in tables]) for name in ("contact", "J", "F"))
    return {"J_apart": _mean(j[contact == 0]), "J_contact": _mean(j[contact == 1]), "F": _mean(f)}


def pose_figures(measured: Sequence[Measured]) -> Figures:
    """Mean OKS over people and frames, and the share of known joints in place (PCK); who was missed counts 0."""
    oks = np.concatenate([one.poses["oks"] for one in measured])
    placed = sum(float(one.poses["placed"].sum()) for one in measured)
    joints = sum(float(one.poses["joints"].sum()) for one in measured)
    return {"OKS": _mean(oks[np.isfinite(oks)]), "PCK": _rounded(placed / joints) if joints else None}


def pose_detail(measured: Sequence[Measured]) -> Figures:
    """The pose figures, and OKS over the joints that are to be seen and over those that are hidden."""
    out = pose_figures(measured)
    for name in ("oks_visible", "oks_hidden"):
        values = np.concatenate([one.poses[name] for one in measured])
        out[name.replace("oks_", "OKS, ")] = _mean(values[np.isfinite(values)])
    return out


def review_shares(measured: Sequence[Measured], *, by_box: bool = False) -> dict[str, Share]:
    """The review flags' figures with their intervals; by_box: ids are wrong by boxes alone."""
    clips = [one.reviewed for one in measured]
    if by_box:
        clips = [replace(one.reviewed, wrong=one.flags["wrong_by_box"]) for one in measured]
    return {"recall": recall(clips), "precision": precision(clips), "clean_flagged": clean_flagged(clips)}


def _mean(values: np.ndarray) -> float | None:
    return _rounded(float(values.mean())) if len(values) else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
