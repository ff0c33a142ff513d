"""People's contacts -> masks by SAM 2: each identity is carried in from its clean frames before and after.

The first pass of SAM 2 knows tracklets only, which end where people touch. Once they are bound, a person is one
object with clean frames on both sides of every contact: those condition the network, forward and backward, and the
two directions meet inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.records import People
from tasks.backends.logit_file import LogitFile
from tasks.backends.sam2 import BoundedPredictor, ClipFrames, enlarge, precision
from tasks.ops.contacts import Stretch, stretches
from tasks.ops.prompts import Prompt, prompt_in
from tasks.ops.with_masks import Remasked, with_masks

AGREE = 0.5  # intersection over union of the two directions below which the person is shown once more
_SURE = 0.35  # mean joint score of a pose that is worth showing


@dataclass(frozen=True, slots=True, kw_only=True)
class Sam2Identities:
    """How bound people's masks are made again where they touch, or have none."""

    model: BoundedPredictor
    fps: float
    touch: float = 0.05  # intersection over union from which two boxes touch
    around_s: float = 2.0  # how far off clean frames may lie
    clean: int = 2  # clean frames on each side that condition the network
    rounds: int = 1  # how often a stretch whose two directions disagree is prompted once more

    def refine(self, path: Path, people: People) -> People:
        """The people with the masks of all contacts made again; logits decide whose a pixel is.

        path: the clip. What lies outside contacts, and whom no clean frame or pose shows, is left as it was. Memory
        does not grow with the length of the clip or of a contact.
        """
        step = max(round(self.fps / 4), 1)
        found = stretches(
            people, touch=self.touch, bridge=step, margin=step, away=round(self.around_s * self.fps), most=self.clean
        )
        pictures = ClipFrames(path, people.num_frames, self.model.image_size)
        for stretch in found:
            changed = {new.frame: new for new in self._remask(pictures, people, stretch)}
            people = with_masks(people, changed)
        return people

    def _remask(self, pictures: ClipFrames, people: People, stretch: Stretch) -> Iterator[Remasked]:
        extra: dict[int, list[Prompt]] = {p: [] for p in stretch.people}
        for p, clean in zip(stretch.people, stretch.clean, strict=True):
            best = _best_pose(people, p, range(stretch.start, stretch.stop))
            if not clean and best is not None:
                extra[p] = [prompt_in(people, p, best)]
        for left in range(self.rounds, -1, -1):
            with LogitFile() as forward, LogitFile() as backward, precision(self.model.device):
                shown = self._carry(pictures, people, stretch, extra, forward, reverse=False)
                self._carry(pictures, people, stretch, extra, backward, reverse=True)
                more = self._disagreeing(people, stretch, shown, forward, backward) if left else {}
                if not more:
                    yield from _fused(people, stretch, shown, forward, backward)
                    return
            for p, t in more.items():
                extra[p] = [*extra[p], prompt_in(people, p, t)]

    def _carry(
        self,
        pictures: ClipFrames,
        people: People,
        stretch: Stretch,
        extra: dict[int, list[Prompt]],
        kept: LogitFile,
        *,
        reverse: bool,
    ) -> dict[int, list[int]]:
        """Carry everyone through the stretch in one direction; person -> the frames in which they were shown."""
        state = self.model.session(pictures, people.mask.size)
        shown: dict[int, list[int]] = {}
        for p, clean in zip(stretch.people, stretch.clean, strict=True):
            for t in clean:
                self.model.add_new_mask(state, t, p, people.mask_at(p, t))
            for prompt in extra[p]:
                self.model.add_new_points_or_box(
                    state, prompt.frame, p, points=prompt.points, labels=prompt.labels, box=prompt.box
                )
            if frames := sorted([*clean, *(prompt.frame for prompt in extra[p])]):
                shown[p] = frames
        if not shown:
            return shown
        names = list(shown)
        last = [stretch.start if reverse else stretch.stop - 1 for _ in names]
        for t, i, logits, score in self.model.follow(state, last, reverse=reverse, newest=reverse):
            if stretch.start <= t < stretch.stop:
                kept.put(t, names[i], logits.float().cpu().numpy(), score)
        return shown

    def _disagreeing(
        self,
        people: People,
        stretch: Stretch,
        shown: dict[int, list[int]],
        forward: LogitFile,
        backward: LogitFile,
    ) -> dict[int, int]:
        """Person -> the frame with the surest pose among those in which the two directions see different people."""
        off: dict[int, list[int]] = {}
        for t in range(stretch.start, stretch.stop):
            one, two = forward.at(t), backward.at(t)
            for p in (one.keys() & two.keys()) - {q for q, frames in shown.items() if t in frames}:
                a, b = one[p][0] > 0, two[p][0] > 0
                if np.count_nonzero(a & b) < AGREE * np.count_nonzero(a | b):
                    off.setdefault(p, []).append(t)
        best = {p: _best_pose(people, p, frames) for p, frames in off.items()}
        return {p: t for p, t in best.items() if t is not None}


def _best_pose(people: People, person: int, frames: range | list[int]) -> int | None:
    """The frame in which the person's own pose is surest, None where no pose is sure."""
    sure = [(float(people.score[person, t, :17].mean()), -t) for t in frames if people.present[person, t]]
    if not sure or max(sure)[0] < _SURE:
        return None
    return -max(sure)[1]


def _fused(
    people: People, stretch: Stretch, shown: dict[int, list[int]], forward: LogitFile, backward: LogitFile
) -> Iterator[Remasked]:
    """Both directions' logits, weighed by how near the last frame shown is on that side; the highest takes a pixel."""
    for t in range(stretch.start, stretch.stop):
        one, two = forward.at(t), backward.at(t)
        who = tuple(p for p in stretch.people if people.present[p, t] and (p in one or p in two))
        if not who:
            continue
        logits = np.stack([_meet(t, shown[p], one.get(p), two.get(p), people.mask.size) for p in who])
        claim = logits > 0
        best = logits.argmax(0)
        mask = claim & (best == np.arange(len(who))[:, None, None])
        yield Remasked(frame=t, people=who, corner=(0, 0), mask=mask, claim=claim)


def _meet(
    t: int,
    shown: list[int],
    forward: tuple[np.ndarray, float] | None,
    backward: tuple[np.ndarray, float] | None,
    size: tuple[int, int],
) -> np.ndarray:
    """One person's logits (h, w); below 0 everywhere when the network says that nobody is there."""
    if forward is None or backward is None:
        low, score = forward or backward or (np.full((1, 1), -1.0, np.float32), -1.0)
    else:
        before = t - max((f for f in shown if f <= t), default=t)
        after = min((f for f in shown if f >= t), default=t) - t
        share = 0.5 if before + after == 0 else after / (before + after)
        low = share * forward[0] + (1 - share) * backward[0]
        score = share * forward[1] + (1 - share) * backward[1]
    whole = enlarge(low, size)
    return whole if score > 0 else np.minimum(whole, -1.0)
