"""Frames' people, cut apart -> People: their masks, and the boxes, visible shares and flags that go with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from datasets.masks import Masks, encode_window
from datasets.records import People
from tasks.ops.carry import Window
from tasks.ops.joint_cut import enlarge
from tasks.ops.mask_ops import box_of
from tasks.ops.occlusion import flags


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cut:
    """One frame's people, cut apart."""

    who: list[int]
    window: Window
    margin: np.ndarray  # (N, h, w) above 0: theirs
    visible: np.ndarray  # (N,)


class Made:
    """The clip's masks as they come."""

    def __init__(self, people: People) -> None:
        self.given = people
        self.box = people.box.copy()
        self.visible = np.zeros_like(people.visible)
        self.flag = np.zeros_like(people.flag)
        self.counts = [[b""] * people.num_frames for _ in range(people.num_people)]

    def write(self, t: int, cut: Cut, ratio: tuple[float, float]) -> None:
        """One frame."""
        h, w = self.given.mask.size
        x0, y0, x1, y1 = cut.window
        rect = (
            max(int(np.floor(x0 / ratio[0])), 0), max(int(np.floor(y0 / ratio[1])), 0),
            min(int(np.ceil(x1 / ratio[0])), w), min(int(np.ceil(y1 / ratio[1])), h),
        )  # fmt: skip
        masks = np.stack([enlarge(one, cut.window, ratio, rect) for one in cut.margin])
        for n, p in enumerate(cut.who):
            self.counts[p][t] = encode_window(masks[n], rect[:2], (h, w))
            if self.counts[p][t]:
                self.box[p, t] = box_of(masks[n]) + np.tile(np.array(rect[:2], np.float32), 2)
                self.visible[p, t] = cut.visible[n]
        slack = max(2, round(0.01 * float(np.median(self.box[cut.who, t, 3] - self.box[cut.who, t, 1]))))
        corner = np.array(rect[:2], np.float32)
        keypoint, score = self.given.keypoint[:, t] - corner, self.given.score[:, t]
        self.flag[:, t] = flags(masks, np.array(cut.who), keypoint, score, slack)

    def people(self) -> People:
        """The people with what was written."""
        self.flag[~self.given.present] = 0
        frames = np.arange(self.given.num_frames)
        for p, own in enumerate(self.counts):
            tight = np.array([bool(one) for one in own])
            if tight.any():
                for k in range(4):
                    self.box[p, ~tight, k] = np.interp(frames[~tight], frames[tight], self.box[p, tight, k])
        masks = Masks.from_counts((one for own in self.counts for one in own), size=self.given.mask.size)
        return replace(self.given, box=self.box, visible=self.visible, flag=self.flag, mask=masks)
