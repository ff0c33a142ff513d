"""Evidence for each person of one frame -> exclusive soft masks: one decision for all who are near."""

from __future__ import annotations

import cv2
import numpy as np

from tasks.ops.carry import Evidence, Window
from tasks.ops.mask_ops import keep_body

_FAR = -9.0  # log odds where nobody looked
_SMOOTH = 0.6
_SOFT = 3.0  # log odds beyond which a pixel counts as certain


def union(windows: list[Window]) -> Window:
    """The window that holds all of these."""
    low, high = np.min([w[:2] for w in windows], 0), np.max([w[2:] for w in windows], 0)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def decide(
    evidence: list[Evidence],
    anchors: list[np.ndarray | None],
    window: Window,
    body: np.ndarray | None = None,
    ahead: np.ndarray | None = None,
) -> np.ndarray:
    """Margins (N, h, w) float32 of N people in a window that holds theirs: above 0 a pixel is theirs.

    body (N, h, w) and ahead (N, N) as of `put_in_order`, where people touch.

    No two margins are above 0 at one pixel, nor at any point between pixels when they are enlarged linearly: the sum of
    two is never above 0. Each mask hangs together; `anchors` (the drawn bones, (h, w) bool of the window) say which of
    its parts are kept.
    """
    x0, y0, x1, y1 = window
    odds = np.full((len(evidence), y1 - y0, x1 - x0), _FAR, np.float32)
    for n, one in enumerate(evidence):
        a, b, c, d = one.window
        odds[n, b - y0 : d - y0, a - x0 : c - x0] = cv2.GaussianBlur(one.odds, (0, 0), _SMOOTH)
    if body is not None and ahead is not None:
        put_in_order(odds, body, ahead)
    margin = margins(odds)
    for n, anchor in enumerate(anchors):
        mask = margin[n] > 0
        if not mask.any():
            continue
        kept = keep_body(mask, anchor)
        margin[n][mask & ~kept] = -0.1
        # A hole that was filled is nobody else's.
        filled = kept & ~mask & (margin <= 0).all(0)
        margin[n][filled] = 0.1
        for other in range(len(margin)):
            if other != n:
                margin[other][filled] = np.minimum(margin[other][filled], -0.1)
    return margin


def put_in_order(odds: np.ndarray, body: np.ndarray, ahead: np.ndarray) -> None:
    """Where the drawn bodies of two overlap, favour the one in front, in place.

    odds (N, h, w); body (N, h, w) bool; ahead (N, N): nats by which n is taken to be in front of m, the negative of m
    before n.
    """
    for n in range(len(odds)):
        for m in range(n + 1, len(odds)):
            if ahead[n, m]:
                both = body[n] & body[m]
                odds[n][both] += ahead[n, m] / 2
                odds[m][both] -= ahead[n, m] / 2


def margins(odds: np.ndarray) -> np.ndarray:
    """How far each of (N, h, w) log odds lies above all others and above the background's 0."""
    if len(odds) == 1:
        return np.clip(odds, -_SOFT, _SOFT)
    order = np.sort(odds, axis=0)
    best, second = order[-1], order[-2]
    rival = np.maximum(np.where(odds == best, second, best), 0.0)
    return np.clip(odds - rival, -_SOFT, _SOFT)


def enlarge(margin: np.ndarray, window: Window, ratio: tuple[float, float], rect: Window) -> np.ndarray:
    """The mask, (h, w) bool, that a window's margin is in a rectangle of the frame.

    `ratio` (x, y): pixels of the window's picture for one of the frame's.
    """
    x, y = ratio
    shift_x, shift_y = (rect[0] + 0.5) * x - 0.5 - window[0], (rect[1] + 0.5) * y - 0.5 - window[1]
    matrix = np.array([[x, 0, shift_x], [0, y, shift_y]], np.float64)
    size = rect[2] - rect[0], rect[3] - rect[1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(margin, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE) > 0
