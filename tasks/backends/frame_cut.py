"""GrabCut of one person in one frame, seeded by box and pose: what the benchmark's masks are compared with.

Nothing is carried from frame to frame: no colours, no masks, no flow. The seeds are those of the light segmenter.
"""

from __future__ import annotations

import cv2
import numpy as np

from tasks.ops.trimap import FRONT, MAYBE_FRONT, Person, crop_around, regions

_SIDE, _MARGIN = 192, 0.15  # as the light segmenter cuts its crops
_ROUNDS = 5  # of learning colours and cutting (Rother et al., SIGGRAPH 2004, section 3)
_SEED = 20250518


def cut_alone(frame: np.ndarray, person: Person, others: list[Person]) -> np.ndarray:
    """One person's mask, (h, w) bool, of a frame (h, w, 3) uint8 RGB. `others` are the other people of the frame.

    A person is box (4,) xyxy, keypoints (J, 2) and their scores (J,). Their bones are background, the person's own are
    foreground, and what is too far from them is not the person; without a pose, the box's middle is a guess.
    """
    crop = crop_around(person[0], frame.shape[:2], margin=_MARGIN, side=_SIDE)
    piece = np.ascontiguousarray(crop.cut(frame))
    label = regions(person, others, crop, lambda: None).label()
    front = (label == FRONT) | (label == MAYBE_FRONT)
    if front.any() and not front.all():
        # OpenCV's generator would give other masks on equal input.
        cv2.setRNGSeed(_SEED)
        back_model, front_model = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(piece, label, None, back_model, front_model, _ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
        front = (label == FRONT) | (label == MAYBE_FRONT)
    return crop.paste(front.view(np.uint8) * 255, frame.shape[:2])
