"""Looks at one person over time -> human or robot, how sure, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from datasets.records import Kind

Faces = tuple[np.ndarray, np.ndarray]  # boxes (F, 4) xyxy in the crop's pixels, scores (F,)
_LEAST_PIXELS = 200  # a smaller mask shows nothing
_FACE_SCORE = 0.5
# A visor with lights for eyes is found as a face, too, at 0.6 to 0.9; hardly ever surer.
_SURE_SCORE = 0.95


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the looks at one person showed."""

    looks: int  # that showed enough of a body
    skin_faces: float  # share of the looks with a face that has the colour of skin
    bare_faces: float  # share with something like a face that has not: a visor, a mask; but for the sure ones
    sure_faces: float  # share with a face beyond doubt, whatever its colour: pale, painted, in coloured light
    head_skin: float  # share of skin in the uppermost part of the body, upper quartile over the looks
    skin: float  # share of skin in the whole body, median
    grey: float  # share without colour: white, grey, black; median

    @property
    def logit(self) -> float:
        """Log odds of a human; weights set by hand on footage and renders, as tests/test_kind.py scores them."""
        if not self.looks:
            return 0.0
        odds = 0.3
        odds += 3.5 * min(max(self.skin_faces / 0.25, self.sure_faces / 0.5), 1.0)
        odds -= 2.0 * min(self.bare_faces / 0.25, 1.0)
        odds += 1.5 * float(np.clip((self.head_skin - 0.2) / 0.15, -1, 1))
        odds += 0.7 * float(np.clip((self.skin - 0.06) / 0.06, -1, 1))
        # Shells are white, grey or black in part; nothing but colour is cloth, or a coloured light that hides skin.
        odds -= 1.0 * float(np.clip((self.grey - 0.4) / 0.3, 0, 1))
        odds += 0.8 * float(np.clip((0.15 - self.grey) / 0.15, 0, 1))
        # Few looks prove little.
        return odds * min(self.looks / 6, 1.0)

    @property
    def reason(self) -> str:
        """The facts in a few words, for the report and the hint file's author."""
        if not self.looks:
            return "never seen well enough"
        facts = [f"a face in {self.skin_faces:.0%} of {self.looks} looks"]
        if self.sure_faces:
            facts.append(f"one beyond doubt in {self.sure_faces:.0%}")
        if self.bare_faces:
            facts.append(f"a face without skin in {self.bare_faces:.0%}")
        facts.append(f"skin on {self.head_skin:.0%} of the head and {self.skin:.0%} of the body")
        facts.append(f"{self.grey:.0%} without colour")
        return ", ".join(facts)


def kind_evidence(
    crops: Sequence[np.ndarray], masks: Sequence[np.ndarray], faces: Sequence[Faces]
) -> tuple[Kind, float, str]:
    """Human or robot, the probability 0.5..1 that this is right, and the reason.

    crops: (h, w, 3) uint8 RGB of one person's boxes, spread over time; masks: (h, w) bool, the person in each; faces:
    what YuNet found in each crop. Without a look that shows enough the answer is human at 0.5.
    """
    found = gather(crops, masks, faces)
    human = 1 / (1 + np.exp(-found.logit))
    kind: Kind = "human" if human >= 0.5 else "robot"
    return kind, float(max(human, 1 - human)), found.reason


def gather(crops: Sequence[np.ndarray], masks: Sequence[np.ndarray], faces: Sequence[Faces]) -> Evidence:
    """The facts of all looks. Raises ValueError when crops, masks and faces are not as many or as large."""
    if not len(crops) == len(masks) == len(faces):
        raise ValueError(f"kind: want as many masks and faces as crops, got {len(crops)}, {len(masks)}, {len(faces)}")
    rows = [_look(crop, mask, found) for crop, mask, found in zip(crops, masks, faces, strict=True)]
    table = np.array([row for row in rows if row is not None]).reshape(-1, 6)
    if not len(table):
        return Evidence(looks=0, skin_faces=0.0, bare_faces=0.0, sure_faces=0.0, head_skin=0.0, skin=0.0, grey=0.0)
    return Evidence(
        looks=len(table),
        skin_faces=float(table[:, 0].mean()),
        bare_faces=float(table[:, 1].mean()),
        sure_faces=float(table[:, 2].mean()),
        head_skin=float(np.percentile(table[:, 3], 75)),
        skin=float(np.median(table[:, 4])),
        grey=float(np.median(table[:, 5])),
    )


def _look(crop: np.ndarray, mask: np.ndarray, faces: Faces) -> tuple[float, ...] | None:
    """One look's facts, in the order of Evidence; None when too little of the body is seen."""
    if mask.shape != crop.shape[:2]:
        raise ValueError(f"kind: want a mask of {crop.shape[:2]}, got {mask.shape}")
    if mask.sum() < _LEAST_PIXELS:
        return None
    skin = skin_colour(crop)
    head = mask.copy()
    # Of all rows that hold the body, the uppermost sixth; of somebody upside down these are the feet.
    rows = np.flatnonzero(mask.any(1))
    head[rows[0] + max(len(rows) // 6, 1) :] = False
    face, score = _best_face(mask, skin, faces)
    sure = score >= _SURE_SCORE
    return (
        float(face >= 0.3),
        float(score > 0 and face < 0.15 and not sure),
        float(sure),
        float(skin[head].mean()),
        float(skin[mask].mean()),
        float((chroma(crop)[mask] < 10).mean()),
    )


def _best_face(mask: np.ndarray, skin: np.ndarray, faces: Faces) -> tuple[float, float]:
    """Share of skin in the surest face that is this person's own, so much of it in the mask, and its score; or 0, 0."""
    for box, score in sorted(zip(*faces, strict=True), key=lambda face: -face[1]):
        if score < _FACE_SCORE:
            break
        x0, y0 = np.maximum(np.floor(box[:2]), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(box[2:]), mask.shape[::-1]).astype(int)
        if x1 <= x0 or y1 <= y0:
            continue
        own = mask[y0:y1, x0:x1]
        if own.mean() > 0.4:
            return float(skin[y0:y1, x0:x1][own].mean()), float(score)
    return 0.0, 0.0


def skin_colour(picture: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 RGB -> (h, w) bool: colours of human skin, light to dark (Chai and Ngan, 1999: bounds in CbCr).

    Wood, sand and some clothes have them too: this is evidence, not proof.
    """
    y, cr, cb = np.moveaxis(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb).astype(np.int16), -1, 0)
    return (y > 40) & (cr >= 136) & (cr <= 173) & (cb >= 77) & (cb <= 125) & (cr - cb >= 14)


def chroma(picture: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 RGB -> (h, w) float32 distance from grey in CIELAB."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    return np.hypot(lab[..., 1] - 128, lab[..., 2] - 128)
