"""Looks of each clip's people -> who is the same person, over all clips of a source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

_NEVER = 1e3  # a distance that no cluster bridges
# Two looks are one person's only when they are nearer than this share of what parts the most alike tenth of those who
# stand in one clip together, and so are certainly two: cameras, light and clothes set that scale, source by source.
_ALIKE, _NEARER = 0.1, 0.75
_LEAST = 1e-6  # of a threshold: rounding of equal looks
# Looks at one person in two stretches of a shot are about so far apart (median, real footage and renders): where
# people differ by less, nobody is sure who is who.
_SPREAD = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One clip's people."""

    identity: tuple[str, ...]  # P names
    confidence: np.ndarray  # (P,) float32 0..1


def name_people(looks: list[list[np.ndarray | None]], *, threshold: float) -> list[Named]:
    """Names for the people of a source's clips, in the clips' order.

    looks: for each clip, for each person, a unit mean appearance (E,) or None; threshold: the cosine distance above
    which two looks are two people, in any source; `own_threshold` may lower it. Two people of one clip are never the
    same. Names count up by first appearance: p0001, p0002, ...

    Agglomerative clustering with complete linkage, under which "never the same" holds exactly; the confidence is the
    silhouette (Rousseeuw 1987), with the threshold standing in for what a lonely cluster has no distance to; and less
    where people of this source differ by less than one person does from look to look.
    """
    clip = np.array([i for i, people in enumerate(looks) for _ in people], int)
    vectors = [look for people in looks for look in people]
    distance = _distances(vectors, clip)
    threshold = own_threshold(looks, threshold)
    label = _clusters(distance, threshold)
    sure = _silhouettes(distance, label, clip, threshold, [look is not None for look in vectors])
    if len(looks) > 1:
        sure = sure * min(1.0, threshold / _SPREAD)
    names: dict[int, str] = {}
    for one in label:
        names.setdefault(int(one), f"p{len(names) + 1:04d}")
    out, start = [], 0
    for people in looks:
        stop = start + len(people)
        identity = tuple(names[int(one)] for one in label[start:stop])
        out.append(Named(identity=identity, confidence=sure[start:stop].astype(np.float32)))
        start = stop
    return out


def own_threshold(looks: list[list[np.ndarray | None]], most: float) -> float:
    """The cosine distance above which two looks are two people in this source, at most `most`.

    Where nobody stands beside another, nothing is known of the source's own scale, and it is `most`.
    """
    apart = []
    for people in looks:
        seen = [look for look in people if look is not None]
        apart += [1.0 - float(a @ b) for i, a in enumerate(seen) for b in seen[:i]]
    return max(_LEAST, min(most, _NEARER * float(np.quantile(apart, _ALIKE)))) if apart else most


def _distances(vectors: list[np.ndarray | None], clip: np.ndarray) -> np.ndarray:
    """(N, N) cosine distances; never for people of one clip, and for whom no look was taken."""
    n = len(vectors)
    distance = np.full((n, n), _NEVER)
    for i, a in enumerate(vectors):
        for j, b in enumerate(vectors):
            if a is not None and b is not None and clip[i] != clip[j]:
                distance[i, j] = max(1.0 - float(a @ b), 0.0)
    np.fill_diagonal(distance, 0.0)
    return (distance + distance.T) / 2


def _clusters(distance: np.ndarray, threshold: float) -> np.ndarray:
    if len(distance) < 2:
        return np.zeros(len(distance), int)
    tree = linkage(squareform(distance, checks=False), method="complete")
    return fcluster(tree, t=threshold, criterion="distance")


def _silhouettes(
    distance: np.ndarray, label: np.ndarray, clip: np.ndarray, threshold: float, seen: list[bool]
) -> np.ndarray:
    """How much nearer each person is to their own cluster than to the next, 0..1.

    1 where there is one clip only: nobody there can be mistaken for someone in another.
    """
    out = np.zeros(len(label))
    for i in range(len(label)):
        others = np.flatnonzero(clip != clip[i])
        if not len(others):
            out[i] = 1.0
            continue
        if not seen[i]:
            continue
        own = others[label[others] == label[i]]
        near = float(distance[i, own].mean()) if len(own) else threshold / 2
        rest = [distance[i, others[label[others] == one]].mean() for one in set(label[others]) - {label[i]}]
        far = min([float(d) for d in rest] + [2 * threshold])
        out[i] = np.clip((far - near) / max(far, near, 1e-9), 0, 1)
    return out
