"""Compared clip, the people whom the footage stages found in it -> who is who, and where everyone's joints are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.npz import read_npz, write_npz
from datasets.records import UNKNOWN, People, load_record
from tasks.backends.trackeval import Tally
from tasks.batch import Env, Item, Stage
from tasks.compare import PEOPLE
from tasks.ops.crossing_truth import Truth, found_rows, truth_of
from tasks.ops.pose_coherence import joint_distance, pose_ssim, similarity
from tasks.ops.pose_metrics import row_oks
from tasks.ops.review_metrics import Held, holders
from tasks.ops.scores import SEEN, SURE_JOINT
from tasks.score import HELD, TALLIES, flat, held_at, nobody, ours_at, own_rows, tallies_at, tallies_of

VERSION = 2
JOINTS, FOUND = "joints.npz", "found"
_BODY = 17


@dataclass(frozen=True, kw_only=True)
class Config:
    """Nothing can be set: the figures are defined."""


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Write TrackEval's counts, who held whom, and the joints' figures: one row for each driving person and frame.

    A person is paired with one found identity for the whole clip, so that a swap counts against all that follows.
    """
    truth, people = truth_of(load_record(People, item.folder("shots") / PEOPLE), ()), ours_at(item)
    found = nobody(truth) if people is None else found_rows(people)
    write_npz(out / TALLIES, flat({FOUND: tallies_of(truth, found)}))
    held = holders(truth.counted, found, truth.people.num_frames)
    write_npz(out / HELD, {"truth": held.truth, "found": held.found, "holder": held.holder, "right": held.right})
    write_npz(out / JOINTS, joints(truth, people, held))


def joints(truth: Truth, people: People | None, held: Held) -> dict[str, np.ndarray]:
    """By rows of the truth: frame, person, own (found person or -1), oks, distance (mean, pixels; NaN when nobody was
    found), joints (how many it is the mean of). By frames: pose_ssim, pose_ssim_near."""
    rows, exact = truth.counted, truth.people
    true = exact.keypoint[rows.id, rows.frame, :_BODY].astype(np.float64)
    known = exact.flag[rows.id, rows.frame, :_BODY] != UNKNOWN
    area = exact.mask.areas()[rows.id * exact.num_frames + rows.frame].astype(np.float64)
    own = own_rows(held, rows, people)
    estimate = np.full(true.shape, np.inf)
    if people is not None:
        has = own >= 0
        estimate[has] = people.keypoint[own[has], rows.frame[has], :_BODY]
    away = joint_distance(estimate, true, known)
    count = np.isfinite(away).sum(1)
    with np.errstate(invalid="ignore"):
        mean = np.where(count > 0, np.nansum(away, axis=1) / np.maximum(count, 1), np.nan)
    paired = np.isfinite(away)
    transform = similarity(estimate[paired], true[paired])
    whole, near = pose_ssim(_drawn(truth, people, own, estimate, true, known), exact.mask.size, transform)
    return {
        "frame": rows.frame, "person": rows.id, "own": own, "oks": row_oks(estimate, true, known, area),
        "distance": mean, "joints": count, "pose_ssim": whole, "pose_ssim_near": near,
    }  # fmt: skip


def _drawn(
    truth: Truth, people: People | None, own: np.ndarray, estimate: np.ndarray, true: np.ndarray, known: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each frame's found and true joints: of who was found those that are known, of people too many all sure ones."""
    out = []
    for t in range(truth.people.num_frames):
        here = np.flatnonzero(truth.counted.frame == t)
        found = [estimate[i][known[i]] for i in here if own[i] >= 0]
        if people is not None:
            there = np.flatnonzero(people.present[:, t] & (people.visible[:, t] >= SEEN))
            for p in there[~np.isin(there, own[here])]:
                found.append(people.keypoint[p, t, :_BODY][people.score[p, t, :_BODY] >= SURE_JOINT].astype(np.float64))
        empty = np.zeros((0, 2))
        out.append((np.concatenate([empty, *found]), np.concatenate([empty, *(true[i][known[i]] for i in here)])))
    return out


STAGE = Stage(name="coherence", version=VERSION, inputs=("shots", "refine"), compute=compute)
NOBODY = Stage(name="coherence", version=VERSION, inputs=("shots",), compute=compute)


def tallies_in(item: Item) -> dict[str, Tally]:
    """box, mask -> TrackEval's counts."""
    return {kind: one for (_, kind), one in tallies_at(item.folder(STAGE.name)).items()}


def joints_in(item: Item) -> dict[str, np.ndarray]:
    """What `joints` gave."""
    return read_npz(item.folder(STAGE.name) / JOINTS)


def held_in(item: Item) -> Held:
    """Who held whom."""
    return held_at(item.folder(STAGE.name))
