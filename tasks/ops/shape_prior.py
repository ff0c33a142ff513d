"""Pose -> how likely each pixel is this body: by its distance to the drawn body, in torso lengths, as learned."""

from __future__ import annotations

import cv2
import numpy as np

from tasks.ops.body import EARS, NOSE, SHOULDERS, draw_body

# Distances, in torso lengths, that the profile is given at; inside the drawn body they are below 0.
_AT = np.array([-0.30, -0.15, -0.05, 0.0, 0.05, 0.10, 0.20, 0.35, 0.60, 1.00, 1.60])
# Log odds of a body in clothes, before anything was learned.
_FIRST = np.array([1.5, 1.5, 1.2, 0.7, 0.2, -0.4, -1.2, -2.2, -4.0, -6.0, -9.0])
_GIRTH = 0.75  # of the drawn body
_MIN_SCORE = 0.15
_MAX_ODDS = 1.5
_TRUST = 400.0  # pixels of the first profile that observations are weighed against


def first_profile() -> np.ndarray:
    """Log odds at the profile's distances before anything was learned."""
    return _FIRST.copy()


def body_distance(
    keypoint: np.ndarray, score: np.ndarray, scale: float, window: tuple[int, int, int, int]
) -> np.ndarray | None:
    """Signed distance of a window's pixels to the drawn body in torso lengths, (h, w) float32; None without a pose.

    keypoint (J, 2) in pixels of the picture that the window x0, y0, x1, y1 lies in.
    """
    x0, y0, x1, y1 = window
    body = draw_body(
        keypoint - np.array([x0, y0], np.float32), score, scale, (y1 - y0, x1 - x0), girth=_GIRTH, min_score=_MIN_SCORE
    )
    if not body.any():
        return None
    _draw_ends(body.view(np.uint8), keypoint - np.array([x0, y0], np.float32), score, scale)
    outside = cv2.distanceTransform((~body).view(np.uint8), cv2.DIST_L2, 3)
    inside = cv2.distanceTransform(body.view(np.uint8), cv2.DIST_L2, 3)
    return (outside - inside) / np.float32(scale)


def _draw_ends(body: np.ndarray, keypoint: np.ndarray, score: np.ndarray, scale: float) -> None:
    """Add what lies beyond the outermost joints, in place: hands, feet, the crown of the head.

    Lengths in torsos are those of a grown body (a hand 0.35, a foot from the ankle's middle 0.35, 0.45 from the ears to
    the crown); what the picture does not confirm is cut off again.
    """

    def blob(at: np.ndarray, radius: float) -> None:
        cv2.circle(body, np.round(at).astype(int).tolist(), max(1, round(radius * scale)), 1, -1)

    seen = score >= _MIN_SCORE
    for elbow, wrist in ((7, 9), (8, 10)):
        if seen[elbow] and seen[wrist]:
            blob(keypoint[wrist] + _toward(keypoint[elbow], keypoint[wrist], 0.17 * scale), 0.12)
    for knee, ankle in ((13, 15), (14, 16)):
        if seen[knee] and seen[ankle]:
            blob(keypoint[ankle] + _toward(keypoint[knee], keypoint[ankle], 0.12 * scale), 0.16)
    face = [joint for joint in (NOSE, *EARS) if seen[joint]]
    if face and seen[list(SHOULDERS)].all():
        head = keypoint[face].mean(0)
        blob(head + _toward(keypoint[list(SHOULDERS)].mean(0), head, 0.16 * scale), 0.24)


def _toward(a: np.ndarray, b: np.ndarray, length: float) -> np.ndarray:
    """A step of this length on from b, away from a."""
    step = b - a
    return step * (length / max(float(np.hypot(*step)), 1e-3))


def shape_odds(distance: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """Log odds of a body at these distances, (h, w) float32."""
    table = np.interp(_FINE, _AT, profile).astype(np.float32)
    index = ((distance - np.float32(_AT[0])) * np.float32(1 / _STEP)).astype(np.int32)
    return table[np.clip(index, 0, len(table) - 1)]


_STEP = 0.01
_FINE = np.arange(_AT[0], _AT[-1] + _STEP, _STEP)


def learn_profile(distance: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The profile of a person, from distances (N,) of pixels and whether they were theirs (N,).

    What was seen is weighed against the first profile; the odds never rise with the distance.
    """
    edge = (_AT[1:] + _AT[:-1]) / 2
    bin_of = np.searchsorted(edge, distance)
    own = np.bincount(bin_of, weights=inside.astype(float), minlength=len(_AT))
    seen = np.bincount(bin_of, minlength=len(_AT)).astype(float)
    first = 1 / (1 + np.exp(-_FIRST))
    share = (own + _TRUST * first) / (seen + _TRUST)
    odds = np.log(share / (1 - share))
    return np.clip(np.minimum.accumulate(odds), -9.0, _MAX_ODDS)
