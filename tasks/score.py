"""Crossing with its truth, what was made of it -> figures: tracks, masks, poses and review flags of one clip.

Four stages, so that what changed alone is measured again: the rivals' tracks, our tracks with poses and flags, our
masks, and the masks of single-frame GrabCut under our boxes and poses.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from datasets.npz import read_npz, write_npz
from datasets.records import HIDDEN, UNKNOWN, VISIBLE, Detections, People, Sample, Segments, Tracklets, load_record
from tasks.backends.frame_cut import cut_alone
from tasks.backends.trackeval import Tally, tally
from tasks.batch import Env, Item, Stage
from tasks.clips import clip_of
from tasks.filming import ABOUT
from tasks.frames import FRAMES
from tasks.judge import Config as JudgeConfig
from tasks.ops.crossing_truth import (
    Truth,
    detection_masks,
    found_rows,
    oracle_ids,
    rows_of,
    tracked_rows,
    truth_of,
)
from tasks.ops.mask_metrics import contour_accuracy, region_similarity, touching
from tasks.ops.pose_metrics import joints_in_place, row_oks
from tasks.ops.review_metrics import Held, Reviewed, holders, settled_by_masks
from tasks.ops.scores import SEEN
from tasks.ops.track_rows import TrackRows, box_overlaps, mask_overlaps, without_ignored
from tasks.rivals import IDS

VERSION = 2
OURS_VERSION = 3
TALLIES, MASKS, POSES, HELD, FLAGS = "tallies.npz", "masks.npz", "poses.npz", "held.npz", "flags.json"
OURS, ORACLE = "ours", "oracle"


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured."""

    judge: JudgeConfig = field(default_factory=JudgeConfig)  # the limits from which identity is in doubt


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """Which frames' masks are measured."""

    every: int = 3


def truth_at(item: Item) -> Truth:
    """The truth that was filmed with an item's clip."""
    folder = item.folder("shots")
    about = json.loads((folder / ABOUT).read_text())
    return truth_of(load_record(People, folder / "people.npz"), tuple(about["audience"]))


def ours_at(item: Item) -> People | None:
    """What our stages made of the clip; None where they turned it away."""
    return load_record(People, item.folder("refine") / "people.npz") if "refine" in item.artifacts else None


def compute_rivals(item: Item, config: Config, env: Env, out: Path) -> None:
    """The tallies of the rivals and of the oracle, all on the same detections and their masks."""
    truth, found = truth_at(item), load_record(Detections, item.folder("detect") / "detections.npz")
    masks = detection_masks(
        load_record(Tracklets, item.folder("track") / "tracklets.npz"),
        load_record(Segments, item.folder("segment") / "segments.npz"),
    )
    ids = {**read_npz(item.folder("rivals") / IDS), ORACLE: oracle_ids(found, truth.counted)}
    tallies = {name: tallies_of(truth, tracked_rows(found, ids[name], masks)) for name in ids}
    write_npz(out / TALLIES, flat(tallies))


def compute_ours(item: Item, config: Config, env: Env, out: Path) -> None:
    """Our tallies, poses row by row, who held whom, and what the judge said."""
    truth, people = truth_at(item), ours_at(item)
    frames = truth.people.num_frames
    found = nobody(truth) if people is None else found_rows(people)
    write_npz(out / TALLIES, flat({OURS: tallies_of(truth, found)}))
    kept = without_ignored(found, truth.counted, truth.ignored)
    by_box = holders(truth.counted, kept, frames)
    held = settled_by_masks(by_box, truth.counted, kept)
    write_npz(out / HELD, {"truth": held.truth, "found": held.found, "holder": held.holder, "right": held.right})
    write_npz(out / POSES, pose_rows(truth, people, held))
    flags = {**_flags(item, people, held, config), "wrong_by_box": people is not None and by_box.has_wrong_id}
    (out / FLAGS).write_text(json.dumps(flags, sort_keys=True, indent=1))


def compute_masks(item: Item, config: MaskConfig, env: Env, out: Path) -> None:
    """J and F of our masks of every few frames, one row for each person who is to be seen."""
    truth, people = truth_at(item), ours_at(item)
    assert people is not None
    rows = []
    for t, row, contact, own in _sampled(truth, people, config):
        mask = np.zeros(truth.people.mask.size, bool) if own < 0 else people.mask_at(own, t)
        true = truth.people.mask_at(int(truth.counted.id[row]), t)
        j, f = region_similarity(mask, true), contour_accuracy(mask, true)
        rows.append((t, truth.counted.id[row], contact, own, j, f))
    write_npz(out / MASKS, _mask_table(rows))


def compute_cut(item: Item, config: MaskConfig, env: Env, out: Path) -> None:
    """J and F of GrabCut that sees one frame alone, under the same boxes and poses, row by row as compute_masks."""
    truth, people = truth_at(item), ours_at(item)
    assert people is not None
    _, path = clip_of(item)
    rows = []
    for t, row, contact, own in _sampled(truth, people, config):
        mask = np.zeros(truth.people.mask.size, bool)
        if own >= 0:
            there = np.flatnonzero(people.present[:, t] & (people.visible[:, t] >= SEEN))
            who = {int(p): (people.box[p, t], people.keypoint[p, t], people.score[p, t]) for p in there}
            mask = cut_alone(FRAMES.at(path, t), who[own], [one for p, one in who.items() if p != own])
        true = truth.people.mask_at(int(truth.counted.id[row]), t)
        j, f = region_similarity(mask, true), contour_accuracy(mask, true)
        rows.append((t, truth.counted.id[row], contact, own, j, f))
    write_npz(out / MASKS, _mask_table(rows))


RIVALS = Stage(
    name="score_rivals", version=VERSION, inputs=("shots", "detect", "track", "segment", "rivals"),
    compute=compute_rivals,
)  # fmt: skip
OURS_STAGE = Stage(
    name="score_ours", version=OURS_VERSION, inputs=("shots", "refine", "identify", "judge"), compute=compute_ours
)
TURNED_AWAY = Stage(name="score_ours", version=OURS_VERSION, inputs=("shots",), compute=compute_ours)
MASKS_STAGE = Stage(name="score_masks", version=VERSION, inputs=("shots", "refine"), compute=compute_masks)
CUT = Stage(name="score_cut", version=VERSION, inputs=("shots", "refine"), compute=compute_cut)


def tallies_at(folder: Path) -> dict[tuple[str, str], Tally]:
    """(tracker, box or mask) -> its tally, from a score's folder."""
    out: dict[tuple[str, str], Tally] = {}
    for key, value in read_npz(folder / TALLIES).items():
        name, kind, field = key.split("|")
        out.setdefault((name, kind), {})[field] = value
    return out


def held_at(folder: Path) -> Held:
    """Who held whom, from a score's folder."""
    return Held(**read_npz(folder / HELD))


def reviewed_at(folder: Path) -> Reviewed:
    """What the truth and the judge say of the ids, from a score's folder."""
    flags = json.loads((folder / FLAGS).read_text())
    return Reviewed(**{name: flags[name] for name in ("bound", "wrong", "turned", "doubted")})


def tallies_of(truth: Truth, found: TrackRows) -> dict[str, Tally]:
    """TrackEval's counts by boxes and by masks, less what was found of people who are not to be counted."""
    frames = truth.people.num_frames
    kept = without_ignored(found, truth.counted, truth.ignored)
    return {
        "box": tally(box_overlaps(truth.counted, kept, frames)),
        "mask": tally(mask_overlaps(truth.counted, kept, frames)),
    }


def flat(tallies: dict[str, dict[str, Tally]]) -> dict[str, np.ndarray]:
    """Tallies as arrays of a file, which `tallies_at` reads."""
    return {
        f"{name}|{kind}|{field}": value
        for name, kinds in tallies.items()
        for kind, one in kinds.items()
        for field, value in one.items()
    }


def nobody(truth: Truth) -> TrackRows:
    """The rows of a clip in which nobody was found."""
    return rows_of(truth.people, np.zeros(truth.people.present.shape, bool))


def pose_rows(truth: Truth, people: People | None, held: Held) -> dict[str, np.ndarray]:
    """Row by row of the truth: frame, person, OKS over all, seen and hidden joints, and joints in place and in all."""
    rows, exact = truth.counted, truth.people
    person, frame = rows.id, rows.frame
    keypoint, flag = exact.keypoint[person, frame].astype(np.float64), exact.flag[person, frame]
    estimate = np.full((len(rows), 17, 2), np.inf)
    own = own_rows(held, rows, people)
    if people is not None:
        has = own >= 0
        estimate[has] = people.keypoint[own[has], frame[has], :17]
    area = exact.mask.areas()[person * exact.num_frames + frame].astype(np.float64)
    known = flag != UNKNOWN
    placed = joints_in_place(estimate, keypoint, known)
    return {
        "frame": frame,
        "person": person,
        "own": own,
        "oks": row_oks(estimate, keypoint, known, area),
        "oks_visible": row_oks(estimate, keypoint, flag == VISIBLE, area),
        "oks_hidden": row_oks(estimate, keypoint, flag == HIDDEN, area),
        "placed": placed.sum(1),
        "joints": known.sum(1),
    }


def own_rows(held: Held, rows: TrackRows, people: People | None) -> np.ndarray:
    """(N,) for each truth row: which of our people stands for the person over the whole clip; -1 where not there."""
    own = np.full(len(rows), -1, np.int64)
    if people is None:
        return own
    ours = {int(g): int(held.found[r]) for g, r in zip(held.truth, held.right, strict=True) if r >= 0}
    for i, (person, t) in enumerate(zip(rows.id, rows.frame, strict=True)):
        p = ours.get(int(person), -1)
        if p >= 0 and people.present[p, t] and people.visible[p, t] >= SEEN:
            own[i] = p
    return own


def _sampled(truth: Truth, people: People, config: MaskConfig) -> list[tuple[int, int, bool, int]]:
    """(frame, row of the truth, whether in contact, our person or -1) of every few frames."""
    frames, rows = truth.people.num_frames, truth.counted
    kept = without_ignored(found_rows(people), rows, truth.ignored)
    own = own_rows(holders(rows, kept, frames), rows, people)
    out = []
    for t in range(0, frames, config.every):
        here = np.flatnonzero(rows.frame == t)
        contact = touching([truth.people.mask_at(int(rows.id[i]), t) for i in here])
        out += [(t, int(i), bool(touch), int(own[i])) for i, touch in zip(here, contact, strict=True)]
    return out


def _mask_table(rows: list[tuple[int, int, bool, int, float, float]]) -> dict[str, np.ndarray]:
    table = np.array(rows, np.float64).reshape(-1, 6)
    names = ("frame", "person", "contact", "own", "J", "F")
    return {name: table[:, i] for i, name in enumerate(names)}


def _flags(item: Item, people: People | None, held: Held, config: Config) -> dict[str, object]:
    if people is None:
        turned = Reviewed(bound=False, wrong=False, turned=True, doubted=False)
        return {**asdict(turned), "verdict": "rejected", "reasons": [], "wrong_frames": 0}
    sample = load_record(Sample, item.folder("judge") / "sample.npz")
    reviewed = Reviewed(
        bound=True,
        wrong=held.has_wrong_id,
        turned=sample.verdict != "accepted",
        doubted=identity_in_doubt(sample, config.judge),
    )
    return {
        **asdict(reviewed),
        "verdict": sample.verdict,
        "reasons": list(sample.reasons),
        "wrong_frames": int(held.wrong.sum()),
    }


def identity_in_doubt(sample: Sample, limits: JudgeConfig) -> bool:
    """Whether one of the judge's rules on who is who speaks against a clip, whatever else does."""
    unsure = sample.scores["swap_suspicion"] > limits.max_unsure
    return unsure or sample.scores["confidence_min"] < limits.min_confidence
