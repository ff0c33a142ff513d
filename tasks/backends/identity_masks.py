"""Frames, People -> People: everybody's masks made again, now that it is known who is who."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from datasets.records import People
from tasks.ops.actors import MISSED, SEEN, Actors, actors_of, beside, whole, within
from tasks.ops.body import draw_body
from tasks.ops.carry import Evidence, Window, join, sureness
from tasks.ops.cut_people import Cut, Made
from tasks.ops.depth_order import alike, in_front
from tasks.ops.identity_evidence import distances, evidence_of, nearest
from tasks.ops.joint_cut import decide, union
from tasks.ops.learned import Learned, learn, learn_around, looks
from tasks.ops.occlusion import visible_shares
from tasks.ops.scenery import Scenery, camera_step, is_still

_BESIDE = 0.1  # torsos from whoever hides somebody within which what is seen of them begins
_CORE = 0.05  # torsos from the drawn body within which a first mask is believed
_FEW = 30  # pixels of a mask below which a carried one is none
_SUPPORT = 0.5  # nats a pixel that a carried mask must have of its frame's own colours


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRules:
    """How masks are made again."""

    side: int = 176  # the longer side that tall people have in the picture that is worked on, pixels
    most_side: int = 512  # and the longer side of that picture at most
    chunk: int = 320  # frames that are worked on together
    overlap: int = 15  # frames before and after them that are looked at too


def identity_masks(frames: Iterable[np.ndarray], people: People, *, fps: float, rules: MaskRules) -> People:
    """People with masks, boxes, visible shares and flags made from the whole clip; who is who, poses, presence stay.

    frames: (h, w, 3) uint8 RGB, all of the clip's, in order; read once, and held small, `rules.chunk` at a time.
    """
    size = people.mask.size
    small = _working_size(people, rules)
    ratio = small[1] / size[1], small[0] / size[0]
    made = Made(people)
    for start, pictures, wanted in _chunks(frames, small, rules):
        run = Run.of(people, pictures, start, ratio, fps)
        for t, cut in run.cuts():
            if start + t in wanted:
                made.write(start + t, cut, ratio)
    return made.people()


def _working_size(people: People, rules: MaskRules) -> tuple[int, int]:
    """(h, w) of the picture that is worked on: tall people are `rules.side` high in it, nothing is enlarged."""
    h, w = people.mask.size
    sides = (people.box[..., 2:] - people.box[..., :2]).max(-1)[people.present]
    tall = float(np.quantile(sides, 0.9)) if len(sides) else float(max(h, w))
    scale = min(1.0, rules.side / max(tall, 1.0), rules.most_side / max(h, w))
    return max(2, round(h * scale)), max(2, round(w * scale))


def _chunks(
    frames: Iterable[np.ndarray], size: tuple[int, int], rules: MaskRules
) -> Iterator[tuple[int, list[np.ndarray], range]]:
    """(first frame, pictures, frames wanted of them): all frames in order, with some around them to look at."""
    held: list[np.ndarray] = []
    start, done = 0, 0
    for frame in frames:
        held.append(cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA))
        if start + len(held) == done + rules.chunk + rules.overlap:
            yield start, held, range(done, done + rules.chunk)
            done += rules.chunk
            held = held[done - rules.overlap - start :]
            start = done - rules.overlap
    if start + len(held) > done:
        yield start, held, range(done, start + len(held))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A run of frames and the people in it, in pixels of the small pictures."""

    pictures: list[np.ndarray]
    grey: list[np.ndarray]
    actors: Actors
    masks: dict[tuple[int, int], np.ndarray]  # (person, frame) -> what was cut out before, of their window
    distance: dict[tuple[int, int], np.ndarray | None]
    free: list[np.ndarray]
    fps: float
    dis: cv2.DISOpticalFlow

    @classmethod
    def of(cls, people: People, pictures: list[np.ndarray], start: int, ratio: tuple[float, float], fps: float) -> Run:
        """Take a run of frames from a clip's people."""
        span = slice(start, start + len(pictures))
        scale = np.array(ratio, np.float32)
        size = pictures[0].shape[:2]
        filled = np.diff(people.mask.offset).reshape(people.present.shape) > 0
        actors = actors_of(
            people.box[:, span] * np.tile(scale, 2), people.keypoint[:, span] * scale, people.score[:, span],
            people.present[:, span], filled[:, span], size=size, fps=fps,
        )  # fmt: skip
        masks, distance = {}, {}
        for t in range(len(pictures)):
            for p in actors.live(t):
                distance[p, t] = distances(actors, p, t)
                if filled[p, start + t]:
                    whole = people.mask_at(p, start + t).view(np.uint8)
                    x0, y0, x1, y1 = actors.window[p, t]
                    masks[p, t] = cv2.resize(whole * 255, size[::-1], interpolation=cv2.INTER_AREA)[y0:y1, x0:x1] > 127
        return cls(
            pictures=pictures,
            grey=[cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures],
            actors=actors,
            masks=masks,
            distance=distance,
            free=_free(actors, masks, distance, size, len(pictures)),
            fps=fps,
            dis=cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST),
        )

    def cuts(self) -> Iterator[tuple[int, Cut]]:
        """Each frame in which somebody is looked for, and its people cut apart."""
        scenery = self._scenery()
        learned = self._learned(scenery)
        own: list[list[Evidence | None]] = [[None] * len(self.pictures) for _ in self.actors.box]
        for t in range(len(self.pictures)):
            who = self.actors.live(t)
            for p, said in zip(who, self._evidence(who, t, learned, scenery), strict=True):
                own[p][t] = said
        joined = join(own, self._motion)
        ahead = self._order(learned)
        for t in range(len(self.pictures)):
            who = self.actors.live(t)
            if who:
                yield t, self._cut(t, who, own, joined, ahead)

    def _order(self, learned: Learned) -> dict[tuple[int, int], np.ndarray]:
        """(a, b) -> (T,) nats by which a is taken to be in front of b."""
        a = self.actors
        foot = np.where(a.score[:, :, 15:17] >= SEEN, a.keypoint[:, :, 15:17, 1], -np.inf).max(2)
        foot = np.where(np.isfinite(foot), foot, np.nan)
        return {
            (i, j): in_front(
                foot[i], foot[j], a.scale[[i, j]].mean(0), alike(learned.colour[i], learned.colour[j]), self.fps
            )
            for i, j in itertools.combinations(range(len(foot)), 2)
        }

    def _scenery(self) -> Scenery:
        step = None
        if not is_still(self.pictures, self.free, self.fps):
            pairs = zip(self.grey[:-1], self.grey[1:], strict=True)
            step = [
                camera_step(self.dis.calc(a, b, None), self.free[t] & self.free[t + 1])
                for t, (a, b) in enumerate(pairs)
            ]
        return Scenery(pictures=self.pictures, free=self.free, step=step, fps=self.fps)

    def _learned(self, scenery: Scenery) -> Learned:
        """Colours from the masks there are, then again, with the girth, from what these colours lead to."""
        chosen = [(p, t) for p, frames in enumerate(looks(self.actors)) for t in frames]
        inside: dict[tuple[int, int], np.ndarray] = {}
        for p, t in chosen:
            distance, mask = self.distance[p, t], self.masks.get((p, t))
            if distance is not None:
                near = (distance < _CORE) & nearest(p, self._nearness(t))
                inside[p, t] = near if mask is None else mask & near
            elif mask is not None:
                inside[p, t] = mask
        around = learn_around(self.pictures, self.free)
        learned = learn(self.pictures, self.actors, inside, self.distance, around, girth=False)
        in_time = sorted(inside, key=lambda pair: pair[::-1])
        for _ in range(2):
            inside = {(p, t): self._alone(p, t, learned, scenery) for p, t in in_time}
            learned = learn(self.pictures, self.actors, inside, self.distance, around, girth=True)
        return learned

    def _nearness(self, t: int) -> dict[int, tuple[Window, np.ndarray]]:
        """How near each person's drawn body is, in a frame."""
        out: dict[int, tuple[Window, np.ndarray]] = {}
        for p in self.actors.live(t):
            distance, (x0, y0, x1, y1) = self.distance[p, t], self.actors.window[p, t].tolist()
            if distance is not None:
                out[p] = (x0, y0, x1, y1), -distance
        return out

    def _alone(self, p: int, t: int, learned: Learned, scenery: Scenery) -> np.ndarray:
        """What one frame alone would give a person, (h, w) bool of their window."""
        rivals = [p] if self.actors.apart[p, t] else self.actors.live(t)
        said = dict(zip(rivals, self._evidence(rivals, t, learned, scenery), strict=True))
        return (said[p].odds > 0) & nearest(p, {q: (one.window, one.odds) for q, one in said.items()})

    def _evidence(self, who: list[int], t: int, learned: Learned, scenery: Scenery) -> list[Evidence]:
        return evidence_of(self.pictures[t], self.distance, self.actors, who, t, learned, scenery)

    def _motion(self, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        flow = self.dis.calc(self.grey[a], self.grey[b], None)
        return flow, sureness(self.pictures, a, b, flow)

    def _cut(
        self,
        t: int,
        who: list[int],
        own: list[list[Evidence | None]],
        joined: list[list[Evidence | None]],
        ahead: dict[tuple[int, int], np.ndarray],
    ) -> Cut:
        there = [one for one in (joined[p][t] for p in who) if one is not None]
        window = union([one.window for one in there])
        x0, y0, x1, y1 = window
        size, corner = (y1 - y0, x1 - x0), np.array([x0, y0], np.float32)
        a = self.actors
        bones = []
        for p in who:
            drawn = draw_body(
                a.keypoint[p, t] - corner, a.score[p, t], float(a.scale[p, t]), size, girth=0.5, min_score=SEEN
            )
            if not whole(a.score[p, t]):
                # Legs behind somebody are a part of their own, that no drawn bone leads to.
                drawn[within(a.box[p, t], window)] = True
            bones.append(drawn if drawn.any() else None)
        body, before = np.zeros((len(who), *size), bool), np.zeros((len(who), len(who)))
        for n, p in enumerate(who):
            near = self.distance[p, t]
            p0, q0, p1, q1 = a.window[p, t]
            if near is not None:
                body[n, q0 - y0 : q1 - y0, p0 - x0 : p1 - x0] = near < 0
            for m in range(n):
                if (who[m], p) in ahead:
                    before[m, n] = ahead[who[m], p][t]
                    before[n, m] = -before[m, n]
        margin = decide(there, bones, window, body, before)
        for n, p in enumerate(who):
            if a.weight[p, t] <= MISSED and not _supported(margin[n] > 0, own[p][t], window):
                margin[n] = np.minimum(margin[n], -0.1)
        for n, p in enumerate(who):
            if a.lost[p, t]:
                # Hidden for long: what looks like them in the open is the background.
                mine, others = margin[n] > 0, np.asarray((np.delete(margin, n, 0) > 0).any(0))
                reach = max(2, round(_BESIDE * float(a.scale[p, t])))
                margin[n][mine & ~beside(mine, others, reach)] = -0.1
        masks = margin > 0
        claimed = masks.copy()
        for n, one in enumerate(there):
            p0, q0, p1, q1 = one.window
            claimed[n, q0 - y0 : q1 - y0, p0 - x0 : p1 - x0] |= one.odds > 0
        box = a.box[who, t] - np.tile(corner, 2)
        visible = visible_shares(masks, claimed, box, a.keypoint[who, t] - corner, a.score[who, t])
        return Cut(who=who, window=window, margin=margin, visible=visible)


def _supported(mask: np.ndarray, own: Evidence | None, window: Window) -> bool:
    """Whether a frame's own colours agree with a mask that was carried into it."""
    if own is None or np.count_nonzero(mask) < _FEW:
        return False
    (x0, y0), (a, b, c, d) = window[:2], own.window
    inside = mask[b - y0 : d - y0, a - x0 : c - x0]
    return bool(inside.any()) and float(own.odds[inside].mean()) > _SUPPORT


def _free(
    actors: Actors,
    masks: dict[tuple[int, int], np.ndarray],
    distance: dict[tuple[int, int], np.ndarray | None],
    size: tuple[int, int],
    frames: int,
) -> list[np.ndarray]:
    """What is certainly nobody's, (h, w) bool a frame."""
    out = [np.ones(size, bool) for _ in range(frames)]
    for (p, t), near in distance.items():
        x0, y0, x1, y1 = actors.window[p, t]
        mask = masks.get((p, t))
        taken = near < 0.35 if near is not None else np.ones((y1 - y0, x1 - x0), bool)
        if mask is not None:
            taken |= cv2.dilate(mask.view(np.uint8), np.ones((5, 5), np.uint8)).view(bool)
        out[t][y0:y1, x0:x1] &= ~taken
    return out
