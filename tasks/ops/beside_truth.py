"""A frame, the truth, our People -> one picture: how it was on the left, what we made of it on the right.

Everybody has one colour on both sides: that of the true person whom an identity of ours stands for over the whole clip.
So an id on the wrong body shows as a colour on the wrong body, and is framed in red.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from datasets.condition import draw_pose, person_color, tint
from datasets.records import People
from tasks.ops.review_metrics import Held
from tasks.ops.scores import SEEN

NOBODY = (150, 150, 150)  # onlookers on the left; on the right people who stand for nobody
WRONG = (255, 40, 40)
_GAP = 6


def picture_size(size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of the picture for frames of `size` (h, w): two of them side by side, even."""
    return size[0] // 2 * 2, (2 * size[1] + _GAP) // 2 * 2


def draw_beside(
    frame: np.ndarray,
    truth: People,
    onlookers: Sequence[int],
    ours: People | None,
    held: Held,
    t: int,
    seen: np.ndarray | None = None,
) -> np.ndarray:
    """The picture of frame t, (h, w, 3) uint8 of `picture_size`; `frame` (h, w, 3) uint8 RGB in the clip's size.

    `seen` is the frame in which ours were found, of the same size, where that is another than the truth's.
    """
    left, right = frame.copy(), (frame if seen is None else seen).copy()
    for p in np.flatnonzero(truth.present[:, t] & (truth.visible[:, t] >= SEEN)):
        color = NOBODY if p in onlookers else person_color(int(p))
        tint(left, truth.mask_at(int(p), t), color)
        _frame(left, truth.box[p, t], color, str(int(p) + 1), 1)
    if ours is not None:
        _draw_ours(right, ours, held, t)
    out = np.full((*picture_size(frame.shape[:2]), 3), 24, np.uint8)
    h, w = out.shape[0], frame.shape[1]
    out[:, :w] = left[:h]
    out[:, w + _GAP : w + _GAP + w] = right[:h, : out.shape[1] - w - _GAP]
    return out


def colors_of(held: Held, num_people: int) -> list[tuple[int, int, int]]:
    """The colour of each of our people: that of the true person they stand for; NOBODY's where there is none."""
    stands_for = {int(held.found[r]): int(g) for g, r in zip(held.truth, held.right, strict=True) if r >= 0}
    return [person_color(stands_for[p]) if p in stands_for else NOBODY for p in range(num_people)]


def _draw_ours(picture: np.ndarray, ours: People, held: Held, t: int) -> None:
    wrong = {int(held.found[held.holder[g, t]]) for g in np.flatnonzero(held.wrong[:, t])}
    colors = colors_of(held, ours.num_people)
    there = np.flatnonzero(ours.present[:, t] & (ours.visible[:, t] >= SEEN))
    for p in there:
        tint(picture, ours.mask_at(int(p), t), colors[p])
    for p in there:
        draw_pose(
            ours.keypoint[p, t], ours.score[p, t], ours.flag[p, t], ours.skeleton, picture.shape[:2],
            color=colors[p], canvas=picture,
        )  # fmt: skip
        off = int(p) in wrong
        _frame(
            picture,
            ours.box[p, t],
            WRONG if off else colors[p],
            f"{int(p) + 1}{' wrong' if off else ''}",
            3 if off else 1,
        )


def _frame(picture: np.ndarray, box: np.ndarray, color: Sequence[int], text: str, width: int) -> None:
    x0, y0, x1, y1 = np.round(box).astype(int).tolist()
    cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), tuple(color), width)
    cv2.putText(picture, text, (x0 + 3, max(y0 + 14, 14)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, text, (x0 + 3, max(y0 + 14, 14)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, tuple(color), 1, cv2.LINE_AA)
