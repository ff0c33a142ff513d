"""How unlikely it is, in nats, that one track is followed by another, starts, ends, or is nobody's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.records import Poses
from tasks.ops.body import bone_lengths
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.tracks import Track, poses_at

_SEEN = 0.2  # keypoint score from which a joint counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The scales of the evidence. Lengths are in heights of the person, times in seconds."""

    still: float = 0.06  # spread of where a box is from one frame to the next
    speed: float = 0.7  # growth of that spread with each second unseen
    slow_down_s: float = 0.3  # a velocity is believed for about so long
    most_motion: float = 10.0  # nats; no distance says more than this
    look_same: float = 0.75  # cosine between two looks at one person, usually (two people: about 0.4)
    look_spread: float = 0.13  # and how far it falls short of that
    most_look: float = 6.0
    size: float = 0.25  # spread of the log of the height
    most_size: float = 3.0
    pose: float = 0.10  # spread of the joints from one frame to the next
    most_pose: float = 5.0
    bones: float = 0.25  # spread of the log of bone lengths over the height
    most_bones: float = 2.0
    overlap: float = 2.0  # nats for two masks that should overlap and do not
    unseen: float = 0.5  # nats a second unseen
    enter_edge: float = 1.0  # coming or going through the frame's edge
    enter_middle: float = 4.0  # or in the middle of the picture
    person: float = 6.0  # one more person in the clip
    nobody: float = 1.0  # a track that is nobody's, whatever its length
    nobody_s: float = 24.0  # and for each second of it, times the detector's score, when it stands apart
    nobody_part: float = 0.3  # share of that for boxes that lie wholly within another's


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What the cost of a link asks of either track, found once a track and not once a pair."""

    track: Track
    first_height: float  # median box height of the first five frames, pixels
    last_height: float  # and of the last five
    onward: np.ndarray  # (2,) pixels a frame at the end
    backward: np.ndarray  # (2,) pixels a frame at the beginning, back in time
    bones: np.ndarray | None  # (10,) pixels, NaN where a bone was not seen often; None where too few were


def evidence_of(track: Track, poses: Poses) -> Evidence:
    """A track's evidence."""
    return Evidence(
        track=track,
        first_height=_height(track.box[:5]),
        last_height=_height(track.box[-5:]),
        onward=velocity(track.frame, track.box),
        backward=velocity(-track.frame[::-1], track.box[::-1]),
        bones=_long_bones(track, poses),
    )


def link_cost(a: Evidence, b: Evidence, *, fps: float, poses: Poses, crops: MaskCrops, costs: Costs) -> float:
    """Nats against `b` being the same person as `a`, next seen. Infinite when they overlap in time."""
    gap = b.track.start - a.track.stop
    if gap < 0:
        return float("inf")
    wait_s = (gap + 1) / fps
    total = _motion(a, b, fps, costs) + _look(a.track, b.track, costs) + costs.unseen * gap / fps
    change = np.log(b.first_height / a.last_height)
    total += min(0.5 * (change / costs.size) ** 2, costs.most_size)
    total += _bones(a, b, costs)
    if wait_s <= 0.25:
        total += _pose(a, b, fps, poses, costs) + _overlap(a.track, b.track, crops, costs)
    return float(total)


def start_cost(track: Track, size: tuple[int, int], costs: Costs) -> float:
    """Nats against someone's first sight being this track."""
    return _border(track.start == 0, track.box[0], size, costs)


def end_cost(track: Track, frames: int, size: tuple[int, int], costs: Costs) -> float:
    """Nats against someone's last sight being this track."""
    return _border(track.stop == frames, track.box[-1], size, costs)


def nobody_cost(track: Track, fps: float, costs: Costs) -> float:
    """Nats against a track being nobody's: a ghost, a part of another, a reflection."""
    share = costs.nobody_part + (1 - costs.nobody_part) * track.apart
    return costs.nobody + costs.nobody_s * float((track.score * share).sum()) / fps


def at_edge(box: np.ndarray, size: tuple[int, int], share: float = 0.02) -> bool:
    """Whether a box touches the left, right or lower edge of the frame, through which people come and go."""
    h, w = size
    return bool(box[0] <= share * w or box[2] >= (1 - share) * w or box[3] >= (1 - share) * h)


def _border(at_clip_end: bool, box: np.ndarray, size: tuple[int, int], costs: Costs) -> float:
    if at_clip_end:
        return 0.0
    return costs.enter_edge if at_edge(box, size) else costs.enter_middle


def _height(box: np.ndarray) -> float:
    return float(np.median(box[:, 3] - box[:, 1]))


def velocity(frame: np.ndarray, box: np.ndarray, most: int = 8) -> np.ndarray:
    """Pixels a frame of a box's centre over its last frames, (2,): the slope of a least-squares line; 0 for one
    frame."""
    frame, box = frame[-most:], box[-most:]
    if len(frame) < 3:
        return np.zeros(2)
    centre = (box[:, :2] + box[:, 2:]) / 2
    t = frame - frame.mean()
    return (t[:, None] * (centre - centre.mean(0))).sum(0) / (t**2).sum()


def _motion(a: Evidence, b: Evidence, fps: float, costs: Costs) -> float:
    """Constant velocity, slowing down, forward from a and backward from b; the mean of both errors counts.

    Negative log of a 2-D normal density against that of a perfect hit from one frame to the next.
    """
    wait = b.track.start - a.track.stop + 1
    decay = costs.slow_down_s * fps
    run = decay * (1 - np.exp(-wait / decay))
    last, first = a.track.box[-1], b.track.box[0]
    end, begin = (last[:2] + last[2:]) / 2, (first[:2] + first[2:]) / 2
    forward = end + a.onward * run - begin
    backward = begin + b.backward * run - end
    height = np.sqrt(a.last_height * b.first_height)
    error2 = (np.hypot(*forward) ** 2 + np.hypot(*backward) ** 2) / 2 / height**2
    spread = costs.still + costs.speed * wait / fps
    return min(error2 / (2 * spread**2) + 2 * np.log(spread / costs.still) * 0.5, costs.most_motion)


def _look(a: Track, b: Track, costs: Costs) -> float:
    if a.look is None or b.look is None:
        return 0.0
    short = max(costs.look_same - float(a.look @ b.look), 0.0)
    return min(0.5 * (short / costs.look_spread) ** 2, costs.most_look)


def _pose(a: Evidence, b: Evidence, fps: float, poses: Poses, costs: Costs) -> float:
    """How far the joints jump beyond the box's own motion."""
    (from_point, from_score), (to_point, to_score) = poses_at(poses, a.track, -1), poses_at(poses, b.track, 0)
    seen = (from_score >= _SEEN) & (to_score >= _SEEN)
    if seen.sum() < 4:
        return 0.0
    wait = b.track.start - a.track.stop + 1
    moved = to_point[seen] - from_point[seen] - a.onward * wait
    spread = (costs.pose + costs.speed * wait / fps) * a.last_height
    error = float(np.median(np.hypot(moved[:, 0], moved[:, 1])))
    return min(0.5 * (error / spread) ** 2, costs.most_pose)


def _long_bones(track: Track, poses: Poses) -> np.ndarray | None:
    """The longest sights of each bone: seen from any side, it is at most as long as it is."""
    bones = bone_lengths(poses.keypoint[track.row], poses.score[track.row], _SEEN)
    many = np.isfinite(bones).sum(0) >= 5
    if many.sum() < 4:
        return None
    best = np.full(bones.shape[1], np.nan)
    best[many] = np.nanpercentile(bones[:, many], 80, axis=0)
    return best


def _bones(a: Evidence, b: Evidence, costs: Costs) -> float:
    """Do the longest sights of each bone agree."""
    if a.bones is None or b.bones is None:
        return 0.0
    both = np.isfinite(a.bones) & np.isfinite(b.bones)
    if both.sum() < 4:
        return 0.0
    change = float(np.median(np.abs(np.log((b.bones[both] + 1) / (a.bones[both] + 1)))))
    return min(0.5 * (change / costs.bones) ** 2, costs.most_bones)


def _overlap(a: Track, b: Track, crops: MaskCrops, costs: Costs) -> float:
    """Masks a few frames apart should overlap where they lie and in shape."""
    ends = np.array([a.segment[-1], b.segment[0]])
    if (ends < 0).any() or not crops.extent[ends, 2].all():
        return 0.0
    one, two = crops.stack(ends, crops.window(ends))
    return costs.overlap * (1 - int(np.count_nonzero(one & two)) / max(int(np.count_nonzero(one | two)), 1))
