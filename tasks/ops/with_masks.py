"""People, new masks of some frames -> People: boxes, visible shares and flags that belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from datasets.masks import Masks, encode_window
from datasets.records import People
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.occlusion import flags, visible_shares


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Remasked:
    """One frame's new masks, of some people, in a window of the frame. N people, (h, w) of the window."""

    frame: int
    people: tuple[int, ...]  # N
    corner: tuple[int, int]  # x, y of the window in the frame
    mask: np.ndarray  # (N, h, w) bool, exclusive among them
    claim: np.ndarray  # (N, h, w) bool, as it was before they were made exclusive


def with_masks(people: People, changed: Mapping[int, Remasked]) -> People:
    """The people with these frames' masks in place of their own; who is not among a frame's new masks keeps theirs,
    and its pixels.

    A person whose new mask is empty keeps the box, and is hidden: visible is 0.
    """
    num, frames = people.present.shape
    crops = MaskCrops(people.mask)
    counts = [[people.mask.counts(p * frames + t) for t in range(frames)] for p in range(num)]
    box, visible, flag = people.box.copy(), people.visible.copy(), people.flag.copy()
    height, width = people.mask.size
    for t, new in changed.items():
        other = np.array([p for p in range(num) if p not in new.people and people.present[p, t]], int)
        whole = np.zeros((len(new.people) + len(other), height, width), bool)
        x, y = new.corner
        h, w = new.mask.shape[1:]
        whole[len(new.people) :] = crops.stack(other * frames + t, (0, 0, width, height))
        taken = whole[len(new.people) :].any(0)
        whole[: len(new.people), y : y + h, x : x + w] = new.mask
        whole[: len(new.people)] &= ~taken
        claim = whole.copy()
        claim[: len(new.people), y : y + h, x : x + w] |= new.claim
        who = np.array([*new.people, *other.tolist()], int)
        share = visible_shares(whole, claim, people.box[who, t], people.keypoint[who, t], people.score[who, t])
        for i, p in enumerate(new.people):
            counts[p][t] = encode_window(whole[i], (0, 0), people.mask.size)
            visible[p, t] = share[i]
            if counts[p][t]:
                box[p, t] = _tight(whole[i])
        slack = max(2, round(0.01 * float(np.median(box[who, t, 3] - box[who, t, 1]))))
        flag[who, t] = flags(whole, who, people.keypoint[:, t], people.score[:, t], slack)[who]
    masks = Masks.from_counts((one for own in counts for one in own), size=people.mask.size)
    return replace(people, box=box, visible=visible, flag=flag, mask=masks)


def _tight(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
