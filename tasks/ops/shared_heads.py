"""Poses of several people -> heads that are somebody else's: far from their own shoulders, on another's."""

from __future__ import annotations

import itertools

import numpy as np

from tasks.ops.body import EARS, NOSE, SHOULDERS
from tasks.ops.repair_poses import runs

HEAD = slice(0, 5)  # nose, eyes, ears
_FACE = [NOSE, *EARS]
_ONE = 0.25  # torsos within which two heads are one
_TORN = 0.75  # torsos from the head beyond which a shoulder is another body's: its own are at 0.4 to 0.6


def borrowed(keypoint: np.ndarray, score: np.ndarray, scale: np.ndarray, *, seen: float, least: int) -> np.ndarray:
    """(P, T) bool: the head of this pose is somebody else's.

    keypoint (P, T, J, 2), score (P, T, J), scale (P, T) pixels of a torso. A network that is shown two people gives one
    of them, seen from behind, the other's face. A head that two poses share is one person's for as long as they do:
    theirs on whose shoulders it is while it is far from the other's, unless it is the other way round at another time.
    Heads that are on their own shoulders both are behind each other, and both are kept;
    so are those that meet for less than `least` frames, of which the frames beside tell more.
    """
    known = score[:, :, _FACE] >= seen
    head = (keypoint[:, :, _FACE] * known[..., None]).sum(2) / np.maximum(known.sum(2), 1)[..., None]
    head[~known.any(2)] = np.nan  # near nothing
    borne, torn = _held(head, keypoint, score >= seen, scale)
    out = np.zeros(scale.shape, bool)
    for p, q in itertools.combinations(range(len(out)), 2):
        reach = _ONE * np.minimum(scale[p], scale[q])
        # Of a face that is half the other's, the nose is where the other's is, and an ear is not.
        one = _near(keypoint[[p, q], :, NOSE], reach) & known[[p, q], :, 0].all(0)
        one |= _near(head[[p, q]], reach)
        for start, stop in runs(one):
            if stop - start < least:
                continue
            span = slice(start, stop)
            from_p, from_q = (torn[p] & borne[q])[span].any(), (torn[q] & borne[p])[span].any()
            out[p, span] |= from_p and not from_q
            out[q, span] |= from_q and not from_p
    return out


def _held(
    head: np.ndarray, keypoint: np.ndarray, there: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(P, T) bool: heads (P, T, 2) near both of their shoulders, and heads far from one; there (P, T, J) bool."""
    shoulder, both = keypoint[:, :, list(SHOULDERS)], there[:, :, list(SHOULDERS)]
    length = np.linalg.norm(head[:, :, None] - shoulder, axis=-1) / scale[..., None]
    torn = ((length > _TORN) & both).any(2)
    return both.all(2) & ~torn, torn


def _near(pair: np.ndarray, reach: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(pair[0] - pair[1], axis=-1) < reach)
