"""Spans, Segments, bodies -> each person's box, mask and visible share, frame by frame."""

from __future__ import annotations

import numpy as np

from datasets.masks import Masks, encode_window
from datasets.records import Segments, Tracklets
from tasks.ops.bind_bodies import Bodies
from tasks.ops.boxes import iou, paired_iou
from tasks.ops.cast import Shot
from tasks.ops.mask_crops import MaskCrops, Window
from tasks.ops.mask_ops import box_of, move_mask
from tasks.ops.occlusion import exclusive, flags, visible_shares
from tasks.ops.sight import seen_between
from tasks.ops.spans import Spans

_AGREES = 0.6  # intersection over union from which a mask's own box is believed more than the detector's


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


def carried_on(spans: Spans, tracklets: Tracklets, segments: Segments) -> np.ndarray:
    """(P, T) the segment of each frame: a propagating segmenter may have one where no box was found."""
    names = _neighbouring_tracklets(spans, tracklets)
    at = {(int(t), int(n)): i for i, (t, n) in enumerate(zip(segments.frame, segments.tracklet, strict=True))}
    segment = spans.segment.copy()
    for p, t in zip(*np.nonzero((segment < 0) & spans.present), strict=True):
        both = [at[(int(t), int(name))] for name in names[p, t] if (int(t), int(name)) in at]
        if both:
            segment[p, t] = max(both, key=lambda i: (float(segments.score[i]), -i))
    return segment


def masks_of(
    spans: Spans, segment: np.ndarray, bodies: Bodies, crops: MaskCrops, shot: Shot
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
    _believe_boxes(box, spans)
    seen_between(box, visible, spans, counts, shot)
    return box, flag, visible, Masks.from_counts((c for own in counts for c in own), size=shot.size)


def _part(
    claimed: np.ndarray,
    window: Window,
    seen: np.ndarray,
    who: np.ndarray,
    t: int,
    spans: Spans,
    bodies: Bodies,
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


def _believe_boxes(box: np.ndarray, spans: Spans) -> None:
    """Where a mask lies elsewhere than the box it was cut out of, the mask is wrong: the found box stands."""
    p, t = np.nonzero(spans.row >= 0)
    wrong = paired_iou(box[p, t], spans.box[p, t]) < _AGREES
    box[p[wrong], t[wrong]] = spans.box[p[wrong], t[wrong]]
