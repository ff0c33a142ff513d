"""Tracklets, Poses, Segments -> People: who (mask) bound to how (pose), over the whole clip at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from datasets.masks import Masks, encode_window
from datasets.records import CameraMotion, People, Poses, Segments, Tracklets
from tasks.ops.bind_cost import Costs
from tasks.ops.bind_events import events_of
from tasks.ops.boxes import iou
from tasks.ops.camera_motion import to_first_frame
from tasks.ops.cast import LeftOut, Limits, Shot, choose
from tasks.ops.mask_crops import MaskCrops, Window
from tasks.ops.mask_ops import box_of, move_mask
from tasks.ops.occlusion import exclusive, flags, visible_shares
from tasks.ops.pose_binding import bind_poses
from tasks.ops.spans import Spans, spans_of
from tasks.ops.tracks import tracks_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How tracks become people."""

    limits: Limits = field(default_factory=Limits)
    costs: Costs = field(default_factory=Costs)
    touch: float = 0.15  # intersection over union from which two boxes touch
    clinch: float = 0.35  # and from which a tracklet is cut where it is closest
    fill_s: float = 0.25  # gaps up to this are interpolated
    doubt_s: float = 0.25  # how far an unsure step makes its surroundings unsure
    doubt: float = 0.75  # certainty below which a step is an event
    own_poses: bool = False  # a pose is its box's, whatever mask holds it: both came with one id


@dataclass(slots=True)
class _Bodies:
    """Each person's pose, frame by frame, as it is put together. P people, T frames, J joints."""

    keypoint: np.ndarray  # (P, T, J, 2) float32
    score: np.ndarray  # (P, T, J) float32  0 where nothing was seen
    drawn: np.ndarray  # (P, T, J) float32  the score, and half of its neighbours' in filled gaps: for geometry only
    changed: np.ndarray  # (P, T) bool  the own box's pose went to another, or came from one, or was emptied


def bind(
    tracklets: Tracklets, poses: Poses, segments: Segments, camera: CameraMotion, shot: Shot, rules: Rules
) -> tuple[People, list[LeftOut]]:
    """The people of one clip, and the tracks that are nobody's. P is 0 when nobody stays."""
    to_first = to_first_frame(camera.step.astype(np.float64))
    tracks = tracks_of(tracklets, segments, to_first, clinch=rules.clinch)
    crops = MaskCrops(segments.mask)
    people, left_out = choose(tracks, shot, rules.limits, rules.costs)
    spans = spans_of(people, shot, fill_s=rules.fill_s, doubt_s=rules.doubt_s)
    names = _neighbouring_tracklets(spans, tracklets)
    carried = _carried_on(spans, names, segments)
    bodies = _poses(spans, tracklets, poses, crops, own=rules.own_poses)
    _interpolate(bodies, spans)
    box, flag, visible, masks = _masks(spans, carried, bodies, crops, shot)
    events = events_of(spans, visible, box, bodies.changed, left_out, shot, rules.touch, rules.doubt)
    bound = People(
        box=box.astype(np.float32),
        keypoint=bodies.keypoint,
        score=bodies.score,
        flag=flag,
        mask=masks,
        present=spans.present,
        visible=visible.astype(np.float32),
        confidence=spans.sure.astype(np.float32),
        skeleton=poses.skeleton,
        events=events,
    )
    return bound, left_out


def _neighbouring_tracklets(spans: Spans, tracklets: Tracklets) -> np.ndarray:
    """(P, T, 2) the tracklet found last and the one found next; -1 where there is none."""
    num, frames = spans.row.shape
    names = np.full((num, frames, 2), -1, np.int64)
    for p in range(num):
        found = np.flatnonzero(spans.row[p] >= 0)
        if not len(found):
            continue
        own = tracklets.tracklet[spans.row[p, found]]
        last = np.searchsorted(found, np.arange(frames), side="right") - 1
        following = np.searchsorted(found, np.arange(frames))
        names[p, last >= 0, 0] = own[last[last >= 0]]
        names[p, following < len(found), 1] = own[following[following < len(found)]]
    return names


def _carried_on(spans: Spans, names: np.ndarray, segments: Segments) -> np.ndarray:
    """(P, T) the segment of each frame: a propagating segmenter may have one where no box was found."""
    at = {(int(t), int(n)): i for i, (t, n) in enumerate(zip(segments.frame, segments.tracklet, strict=True))}
    segment = spans.segment.copy()
    for p, t in zip(*np.nonzero((segment < 0) & spans.present), strict=True):
        both = [at[(int(t), int(name))] for name in names[p, t] if (int(t), int(name)) in at]
        if both:
            segment[p, t] = max(both, key=lambda i: (float(segments.score[i]), -i))
    return segment


def _poses(spans: Spans, tracklets: Tracklets, poses: Poses, crops: MaskCrops, *, own: bool) -> _Bodies:
    """Every found person's pose; where people touch, each pose goes to the mask that holds it, unless it is their
    own."""
    num, frames = spans.row.shape
    joints = poses.keypoint.shape[1]
    keypoint = np.zeros((num, frames, joints, 2), np.float32)
    score = np.zeros((num, frames, joints), np.float32)
    changed = np.zeros((num, frames), bool)
    for t in range(frames):
        who = np.flatnonzero(spans.row[:, t] >= 0)
        row = spans.row[who, t]
        owner = np.arange(len(who))
        if not own and len(who) > 1 and (np.triu(iou(tracklets.box[row], tracklets.box[row]), 1) > 0).any():
            window = crops.window(spans.segment[who, t])
            masks = crops.stack(spans.segment[who, t], window)
            owner = bind_poses(tracklets.box[row], poses.keypoint[row], poses.score[row], masks, window[:2])
            changed[who, t] = (owner != np.arange(len(who))) & (poses.score[row] > 0).any(1)
        theirs = owner >= 0
        keypoint[who[theirs], t] = poses.keypoint[row[owner[theirs]]]
        score[who[theirs], t] = poses.score[row[owner[theirs]]]
    return _Bodies(keypoint=keypoint, score=score, drawn=score.copy(), changed=changed)


def _interpolate(bodies: _Bodies, spans: Spans) -> None:
    """Fill in keypoints where no pose was seen: between, held before the first and after the last; their score
    stays 0."""
    num, frames = spans.row.shape
    for p in range(num):
        seen = (bodies.score[p] > 0).any(1)
        found = np.flatnonzero(seen)
        if not len(found) or seen.all():
            continue
        after = np.clip(np.searchsorted(found, np.arange(frames)), 0, len(found) - 1)
        a, b = found[np.maximum(after - 1, 0)], found[after]
        share = np.clip((np.arange(frames) - a) / np.maximum(b - a, 1), 0, 1)[:, None, None]
        between = bodies.keypoint[p, a] * (1 - share) + bodies.keypoint[p, b] * share
        bodies.keypoint[p, ~seen] = between[~seen]
        for gap in spans.gaps:
            if gap.person == p and gap.filled:
                inside = np.arange(gap.start, gap.stop)
                ends = np.minimum(bodies.score[p, a[inside]], bodies.score[p, b[inside]])
                bodies.drawn[p, inside] = np.where(seen[inside, None], bodies.drawn[p, inside], ends / 2)


def _masks(
    spans: Spans, segment: np.ndarray, bodies: _Bodies, crops: MaskCrops, shot: Shot
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Masks]:
    """Tight boxes (P, T, 4), flags (P, T, J), visible shares (P, T), and exclusive masks, person by person."""
    num, frames = spans.row.shape
    box, visible = spans.box.copy(), np.zeros((num, frames))
    flag = np.zeros(bodies.score.shape, np.uint8)
    counts = [[b""] * frames for _ in range(num)]
    filling = _fillings(spans, segment)
    for t in range(frames):
        guessed = [p for p in range(num) if (p, t) in filling]
        who = np.array(sorted({*np.flatnonzero(segment[:, t] >= 0).tolist(), *guessed}), int)
        if not len(who):
            continue
        own = segment[who, t]
        slack = max(2, round(0.01 * float(np.median(spans.box[who, t, 3] - spans.box[who, t, 1]))))
        # All work is done in the window that holds the masks, and what lies within slack of them.
        window = crops.window(own, slack + 1) if not guessed else (0, 0, shot.size[1], shot.size[0])
        whole = crops.stack(own, window)
        if not guessed and not (np.triu(iou(crops.extent[own], crops.extent[own]), 1) > 0).any():
            # Nobody is near: what was segmented stands as it is.
            for p, i in zip(who, own, strict=True):
                counts[p][t] = crops.masks.counts(int(i))
                visible[p, t] = float(bool(counts[p][t]))
                box[p, t] = crops.extent[i] if counts[p][t] else box[p, t]
        else:
            for i, p in enumerate(who):
                if own[i] < 0:
                    end = filling[p, t]
                    whole[i] = move_mask(crops.masks.decode(int(segment[p, end])), spans.box[p, end], spans.box[p, t])
            whole = _part(whole, window, own >= 0, who, t, spans, bodies, visible)
            for i, p in enumerate(who):
                counts[p][t] = encode_window(whole[i], window[:2], shot.size)
                if counts[p][t]:
                    box[p, t] = box_of(whole[i]) + np.tile(window[:2], 2)
        corner = np.array(window[:2], np.float32)
        flag[:, t] = flags(whole, who, bodies.keypoint[:, t] - corner, bodies.score[:, t], slack)
    flag[~spans.present] = 0
    _bridge_boxes(box, counts)
    return box, flag, visible, Masks.from_counts((c for own in counts for c in own), size=shot.size)


def _part(
    claimed: np.ndarray,
    window: Window,
    seen: np.ndarray,
    who: np.ndarray,
    t: int,
    spans: Spans,
    bodies: _Bodies,
    visible: np.ndarray,
) -> np.ndarray:
    """One frame's claims (N, h, w) in a window made exclusive; what of each body is seen goes into `visible`.

    Only the part of the window that holds all claims is worked on.
    """
    whole = np.zeros_like(claimed)
    x0, y0, x1, y1 = box_of(np.asarray(claimed.any(0))).astype(int).tolist()
    part = claimed[:, y0:y1, x0:x1]
    if not part.size:
        return whole
    corner = np.array([window[0] + x0, window[1] + y0], np.float32)
    pose = spans.box[who, t] - np.tile(corner, 2), bodies.keypoint[who, t] - corner, bodies.drawn[who, t]
    masks = exclusive(part, *pose, seen)
    visible[who, t] = visible_shares(masks, part, *pose)
    whole[:, y0:y1, x0:x1] = masks
    return whole


def _fillings(spans: Spans, segment: np.ndarray) -> dict[tuple[int, int], int]:
    """(person, frame) of filled gaps without a mask -> the nearer end's frame, whose mask is moved there."""
    out = {}
    for gap in spans.gaps:
        for t in range(gap.start, gap.stop) if gap.filled else ():
            end = gap.start - 1 if t - gap.start < gap.stop - t else gap.stop
            if segment[gap.person, t] < 0 and segment[gap.person, end] >= 0:
                out[gap.person, t] = end
    return out


def _bridge_boxes(box: np.ndarray, counts: list[list[bytes]]) -> None:
    """Between frames with a mask, boxes of frames without one come from the tight boxes on both sides."""
    frames = np.arange(box.shape[1])
    for p, own in enumerate(counts):
        tight = np.array([bool(c) for c in own])
        if tight.any():
            for k in range(4):
                box[p, ~tight, k] = np.interp(frames[~tight], frames[tight], box[p, tight, k])
