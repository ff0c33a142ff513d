"""People, what the pictures look like -> Measures: one clip in numbers, per person where people differ."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from pycocotools import mask as coco

from datasets.records import UNKNOWN, VISIBLE, People

# Frames in which less than this share of a body is seen do not count as seeing the person (design, section 2).
SEEN = 0.1
# A joint below this score is a guess.
SURE_JOINT = 0.3
# Below this, an identity is more guess than knowledge.
UNSURE = 0.5
# From this visible share on, a joint on somebody else is a mistake and not an occlusion.
_WHOLE = 0.8
_LIMBS = tuple(range(5, 17))  # COCO's shoulders to ankles: what a face close-up does not show

ABOUT = {
    "num_people": "people followed",
    "duration_s": "length, seconds",
    "coverage_min": "share of the frames that shows the least seen person",
    "coverage_mean": "share of the frames that shows a person, mean over people",
    "together": "share of the frames that shows two people or more",
    "height_min": "smallest person: median box height as a share of the frame's",
    "height_median": "median over people of the same",
    "body_min": "share of shoulders to ankles that the pose finds, least of all people",
    "pose_inside_min": "share of sure joints inside the person's own mask (or behind others), least of all people",
    "pose_inside_mean": "the same, mean over people",
    "pose_foreign_max": "share of sure joints on somebody else while seen whole, most of all people",
    "jitter_max": "second difference of joints, median, in body heights a frame squared, most of all people",
    "mask_steady_min": "overlap (IoU) of a person's masks in successive frames, median, least of all people",
    "sharpness_min": "edge energy over contrast of the least sharp person, median over frames",
    "confidence_min": "lowest identity confidence of anyone over half a second",
    "confidence_mean": "mean identity confidence",
    "swap_suspicion": "share of the frames in which who is who is unsure, or somebody found is none of the people",
    "contact": "share of the frames in which two people's masks touch",
    "hidden": "share of people and frames in which somebody is there but hidden",
    "distance": "median distance of the nearest two people, in body heights",
    "freeze": "share of the frames equal to the one before",
    "events_crossing": "crossings",
    "events_doubt": "events that say the identity is unsure",
    "events_gap": "gaps in somebody's track",
    "events_repair": "repairs by the binder",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measures:
    """What the rules look at. Arrays are (P,), one value a person; shares are 0..1."""

    frames: int
    fps: Fraction
    coverage: np.ndarray  # share of frames in which the person is seen
    height: np.ndarray  # median box height over the frame's
    body: np.ndarray  # median share of shoulders to ankles that the pose finds
    pose_inside: np.ndarray  # share of sure joints inside their own mask, those hidden behind others left out
    pose_foreign: np.ndarray  # share of sure joints on somebody else, while the person is seen whole
    jitter: np.ndarray  # median second difference of joints, body heights
    mask_steady: np.ndarray  # median IoU of successive masks
    sharpness: np.ndarray  # median edge energy over contrast
    confidence: np.ndarray  # lowest mean over half a second
    confidence_frame: np.ndarray  # where that is, middle of the half second
    confidence_mean: float
    unsure: np.ndarray  # (T,) bool  who is who is unsure in this frame, or somebody found is none of the people
    together: float
    contact: float
    hidden: float
    distance: float
    freeze: float
    events: dict[str, int]

    @property
    def num_people(self) -> int:
        """P."""
        return len(self.coverage)

    def scores(self) -> dict[str, float]:
        """The flat numbers that a sample, its shard and the index carry; the names are those of ABOUT."""
        values = {
            "num_people": self.num_people,
            "duration_s": float(self.frames / self.fps),
            "coverage_min": _least(self.coverage),
            "coverage_mean": _mean(self.coverage),
            "together": self.together,
            "height_min": _least(self.height),
            "height_median": float(np.median(self.height)) if self.num_people else 0.0,
            "body_min": _least(self.body),
            "pose_inside_min": _least(self.pose_inside),
            "pose_inside_mean": _mean(self.pose_inside),
            "pose_foreign_max": _most(self.pose_foreign),
            "jitter_max": _most(self.jitter),
            "mask_steady_min": _least(self.mask_steady),
            "sharpness_min": _least(self.sharpness),
            "confidence_min": _least(self.confidence),
            "confidence_mean": self.confidence_mean,
            "swap_suspicion": float(self.unsure.mean()) if len(self.unsure) else 0.0,
            "contact": self.contact,
            "hidden": self.hidden,
            "distance": self.distance,
            "freeze": self.freeze,
            **{f"events_{kind}": self.events.get(kind, 0) for kind in ("crossing", "doubt", "gap", "repair")},
        }
        return {name: round(float(value), 4) for name, value in values.items()}


def measure(people: People, fps: Fraction, sharpness: np.ndarray, still: np.ndarray) -> Measures:
    """Every measure of a clip. `sharpness` (P, T), NaN where not taken, and `still` (T,) as `look` has them."""
    seen = people.present & (people.visible >= SEEN)
    agreement = _agreement(people, seen, step=max(1, round(fps / 10)))
    low, low_frame = _lowest(people.confidence, people.present, max(1, round(fps / 2)))
    events: dict[str, int] = {}
    for event in people.events:
        events[event.kind] = events.get(event.kind, 0) + 1
    return Measures(
        frames=people.num_frames,
        fps=fps,
        coverage=seen.mean(axis=1) if people.num_frames else np.zeros(people.num_people),
        height=_median_where((people.box[..., 3] - people.box[..., 1]) / people.mask.size[0], seen),
        body=_median_where(_body_share(people), seen),
        pose_inside=agreement["inside"],
        pose_foreign=agreement["foreign"],
        jitter=_jitter(people, seen),
        mask_steady=_steadiness(people, seen),
        sharpness=_median_where(np.nan_to_num(sharpness), seen & np.isfinite(sharpness)),
        confidence=low,
        confidence_frame=low_frame,
        confidence_mean=float(people.confidence[people.present].mean()) if people.present.any() else 0.0,
        unsure=_unsure(people) | _strangers(people),
        together=float((seen.sum(axis=0) >= 2).mean()) if seen.size else 0.0,
        contact=float(agreement["contact"]),
        hidden=float((people.present & ~seen).sum() / max(1, people.present.sum())),
        distance=_distance(people, seen),
        freeze=float(still[1:].mean()) if len(still) > 1 else 0.0,
        events=events,
    )


def unsure_spans(people: People) -> list[tuple[int, int]]:
    """Where who is who is unsure: first frames and one past the last, in order."""
    return _spans(_unsure(people))


def stranger_spans(people: People) -> list[tuple[int, int]]:
    """Where somebody is found who is none of the people, as the binder doubts: doubts about nobody."""
    return _spans(_strangers(people))


def _unsure(people: People) -> np.ndarray:
    unsure = np.asarray((people.present & (people.confidence < UNSURE)).any(axis=0))
    for event in people.events:
        if event.kind == "doubt" and event.people:
            unsure[event.start : event.stop] = True
    return unsure


def _strangers(people: People) -> np.ndarray:
    found = np.zeros(people.num_frames, bool)
    for event in people.events:
        if event.kind == "doubt" and not event.people:
            found[event.start : event.stop] = True
    return found


def _spans(on: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _body_share(people: People) -> np.ndarray:
    return (people.score[:, :, _LIMBS] >= SURE_JOINT).mean(axis=-1)


def _sure_joints(people: People) -> np.ndarray:
    """Body joints that were seen, (P, T, 17) bool. Hands and faces would outvote the body 116 to 17."""
    return (people.score[:, :, :17] >= SURE_JOINT) & (people.flag[:, :, :17] == VISIBLE)


def _agreement(people: People, seen: np.ndarray, step: int) -> dict[str, np.ndarray]:
    """How pose and mask agree, and how often masks touch, on every `step`-th frame.

    A joint within 2 % of the body's height of the mask (at least 2 pixels) is inside it: joints such as a wrist lie at
    the rim, and masks of compressed footage are no better than that. Two masks touch when they meet, grown so. Sure
    joints count whatever their flag, which may itself have been read off the mask: a joint in somebody else's mask is
    hidden there and says nothing, unless the person is seen whole.
    """
    count, frames = people.present.shape
    total, inside, whole, foreign = np.zeros(count), np.zeros(count), np.zeros(count), np.zeros(count)
    sure = (people.score[:, :, :17] >= SURE_JOINT) & (people.flag[:, :, :17] != UNKNOWN) & seen[..., None]
    touching, looked = 0, 0
    for t in range(0, frames, step):
        grown = {int(p): _grown(people, int(p), t) for p in np.flatnonzero(seen[:, t])}
        looked += 1
        masks = list(grown.values())
        touching += any((a & b).any() for i, a in enumerate(masks) for b in masks[i + 1 :])
        for p in grown:
            own, other = _joints_in(people, p, t, sure[p, t], grown)
            inside[p] += own.sum()
            total[p] += (own | ~other).sum()
            if people.visible[p, t] >= _WHOLE:
                foreign[p] += (other & ~own).sum()
                whole[p] += len(own)
    return {
        "inside": inside / np.maximum(total, 1),
        "foreign": foreign / np.maximum(whole, 1),
        "contact": np.asarray(touching / max(1, looked)),
    }


def _joints_in(
    people: People, p: int, t: int, sure: np.ndarray, grown: dict[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Of a person's sure joints inside the frame: which lie in their own grown mask, and which in another's mask."""
    x, y = np.round(people.keypoint[p, t, :17][sure]).astype(int).T
    fits = (x >= 0) & (y >= 0) & (x < people.mask.size[1]) & (y < people.mask.size[0])
    x, y = x[fits], y[fits]
    other = np.zeros(len(x), bool)
    for q in grown:
        if q != p:
            other |= people.mask_at(q, t)[y, x]
    return grown[p][y, x], other


def _grown(people: People, p: int, t: int) -> np.ndarray:
    reach = max(2, round(0.02 * float(people.box[p, t, 3] - people.box[p, t, 1])))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(people.mask_at(p, t).view(np.uint8), kernel).astype(bool)


def _jitter(people: People, seen: np.ndarray) -> np.ndarray:
    """Median over sure joints of |x(t+1) - 2 x(t) + x(t-1)| over the body's height; smooth motion gives little."""
    sure = _sure_joints(people) & seen[..., None]
    thrice = sure[:, :-2] & sure[:, 1:-1] & sure[:, 2:]
    at = people.keypoint[:, :, :17]
    bend = np.linalg.norm(at[:, 2:] - 2 * at[:, 1:-1] + at[:, :-2], axis=-1)
    height = np.maximum(people.box[:, 1:-1, 3] - people.box[:, 1:-1, 1], 1)[..., None]
    return _median_where(bend / height, thrice)


def _steadiness(people: People, seen: np.ndarray) -> np.ndarray:
    """Median IoU of a person's masks in successive frames: low for masks that flicker, or for very fast motion."""
    count, frames = people.present.shape
    steady = np.zeros(count)
    size = list(people.mask.size)
    for p in range(count):
        rle = [{"size": size, "counts": people.mask.counts(p * frames + t)} for t in range(frames)]
        pairs = [
            t for t in range(frames - 1) if seen[p, t] and seen[p, t + 1] and rle[t]["counts"] and rle[t + 1]["counts"]
        ]
        values = [float(coco.iou([rle[t]], [rle[t + 1]], [0])[0, 0]) for t in pairs]
        steady[p] = np.median(values) if values else 0.0
    return steady


def _lowest(confidence: np.ndarray, present: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Per person the lowest mean confidence over `window` frames and the middle frame of it; absence does not count."""
    count, frames = present.shape
    window = min(window, frames)
    low, frame = np.zeros(count), np.zeros(count, np.int64)
    for p in range(count):
        total = np.concatenate([[0.0], np.cumsum(np.where(present[p], confidence[p], 0.0))])
        there = np.concatenate([[0], np.cumsum(present[p])])
        weight = there[window:] - there[:-window]
        mean = np.where(2 * weight >= window, (total[window:] - total[:-window]) / np.maximum(weight, 1), np.inf)
        at = int(np.argmin(mean))
        if np.isfinite(mean[at]):
            low[p], frame[p] = mean[at], at + window // 2
    return low, frame


def _distance(people: People, seen: np.ndarray) -> float:
    centre = (people.box[..., :2] + people.box[..., 2:]) / 2
    height = people.box[..., 3] - people.box[..., 1]
    nearest = []
    for t in range(people.num_frames):
        here = np.flatnonzero(seen[:, t])
        if len(here) >= 2:
            gap = np.linalg.norm(centre[here, t][:, None] - centre[here, t][None], axis=-1)
            scale = (height[here, t][:, None] + height[here, t][None]) / 2
            nearest.append(float((gap / np.maximum(scale, 1))[np.triu_indices(len(here), 1)].min()))
    return float(np.median(nearest)) if nearest else 0.0


def _median_where(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Medians of each person's values over the places that count; 0 for a person with none."""
    return np.array([np.median(row[at]) if at.any() else 0.0 for row, at in zip(values, where, strict=True)], float)


def _least(values: np.ndarray) -> float:
    return float(values.min()) if len(values) else 0.0


def _most(values: np.ndarray) -> float:
    return float(values.max()) if len(values) else 0.0


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
