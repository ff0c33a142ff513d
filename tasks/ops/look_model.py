"""Looks of tracks -> how much it says, in this clip, that two tracks look alike.

Re-ID vectors are worth what they tell apart here: people in the same clothes look alike, and then their likeness says
nothing. Who is seen at the same time is certainly somebody else, so each clip shows how alike its people are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.ops.tracks import Track


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPrior:
    """Cosines of pooled masked looks, re-ID 0248 on rendered and real people; a clip's own evidence shifts them."""

    same: float = 0.72  # one person, another time
    other: float = 0.42  # another person
    spread: float = 0.13
    weight: float = 1.5  # pairs of tracks that the prior counts for
    most: float = 4.0  # nats that one pair may say


@dataclass(frozen=True, slots=True, kw_only=True)
class LookModel:
    """Two normal distributions of cosines with one spread: the log of their ratio is a line."""

    same: float
    other: float
    spread: float
    most: float

    def evidence(self, cosine: np.ndarray) -> np.ndarray:
        """Nats for being the same person (negative: against), clipped to +-most."""
        slope = (self.same - self.other) / self.spread**2
        return np.clip((cosine - (self.same + self.other) / 2) * slope, -self.most, self.most)


def learn(tracks: Sequence[Track], prior: LookPrior) -> LookModel:
    """The model of one clip: how alike those are who are seen at the same time."""
    looked = sorted((track for track in tracks if track.look is not None), key=lambda track: track.start)
    total, weight = prior.other * prior.weight, prior.weight
    for i, a in enumerate(looked):
        for b in looked[i + 1 :]:
            if b.start >= a.stop:
                break  # nor does any later one begin before a ends
            if np.isin(a.frame, b.frame).sum() < 3:
                continue
            assert a.look is not None
            assert b.look is not None
            total += float(a.look @ b.look)
            weight += 1.0
    other = total / weight
    # Nobody is less like themselves than like others.
    return LookModel(same=max(prior.same, other), other=other, spread=prior.spread, most=prior.most)


def alike_of(tracks: Sequence[Track], model: LookModel, weight: np.ndarray | None = None) -> np.ndarray:
    """(N, N) nats for two tracks being one person by their looks; 0 where one was not looked at.

    weight (N,): how much each look counts, above 0 and at most 1, all alike when not given. It stands on the diagonal.
    """
    looked = np.flatnonzero([track.look is not None for track in tracks])
    out = np.zeros((len(tracks), len(tracks)))
    if len(looked):
        look = np.stack([tracks[i].look for i in looked.tolist()])  # type: ignore[misc]
        own = np.ones(len(looked)) if weight is None else weight[looked]
        out[np.ix_(looked, looked)] = model.evidence(look @ look.T) * np.outer(own, own)
        out[looked, looked] = own
    return out


def to_people(chains: Sequence[Sequence[int]], alike: np.ndarray) -> np.ndarray:
    """(K, N) nats for a track being each person by the mean likeness to their other tracks."""
    out = np.zeros((len(chains), len(alike)))
    looked = np.diag(alike) > 0
    for k, chain in enumerate(chains):
        own = np.array([j for j in chain if looked[j]], int)
        total, others = alike[:, own].sum(1), np.full(len(alike), len(own))
        total[own] -= alike[own, own]
        others[own] -= 1
        known = looked & (others > 0)
        out[k, known] = total[known] / others[known]
    return out
