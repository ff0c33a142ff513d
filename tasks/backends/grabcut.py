"""OpenCV's GrabCut on small crops: seeded by the pose, each tracklet's colours carried along in time."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from datasets.masks import encode_rle
from datasets.records import Poses, Tracklets
from tasks.backends.ahead import ahead
from tasks.ops.colour import COMPONENTS, fit_colours, log_ratio, thin
from tasks.ops.mask_ops import keep_body
from tasks.ops.pose_owner import borrowed_poses
from tasks.ops.trimap import (
    BACK,
    FRONT,
    MAYBE_BACK,
    MAYBE_FRONT,
    Crop,
    Person,
    Regions,
    crop_around,
    move_prior,
    regions,
)

_SEED = 20250518
_FORGET = 30  # frames after which a tracklet that ended is dropped
_POOL = 1500  # remembered pixels of a person


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carried:
    """What a tracklet takes along to its next frame."""

    frame: int
    age: int  # frames since the colours were learned
    box: np.ndarray
    crop: Crop
    mask: np.ndarray  # of the crop
    pixels: np.ndarray  # (N, 3) uint8 of this person, from frames in which they stood apart
    models: tuple[np.ndarray, np.ndarray]  # background, person


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """One person of one frame, ready to be cut."""

    name: int  # the tracklet
    person: Person
    others: list[Person]
    crop: Crop
    picture: np.ndarray  # (h, w, 3) uint8 of the crop
    region: Regions | None  # None where it takes the person's last mask to say


@dataclass(frozen=True, slots=True, kw_only=True)
class GrabCut:
    """How to cut one clip's tracklets out of its frames."""

    side: int = 192  # the crop's longer side, pixels
    margin: float = 0.15  # around the box, a share of its longer side
    refresh: int = 5  # frames for which colours are kept before they are learned again

    def segment(
        self, frames: Iterable[np.ndarray], tracklets: Tracklets, poses: Poses
    ) -> Iterator[tuple[int, int, float, bytes]]:
        """(frame, tracklet, score, COCO counts) for each row that belongs to a tracklet, ascending by frame.

        frames: (h, w, 3) uint8 RGB, from frame 0 on. One pass; holds one frame and a small crop a tracklet.
        """
        with contextlib.closing(ahead(self._cuts(frames, tracklets, poses))) as cuts:
            for t, size, piece, mask, doubt in cuts:
                yield t, piece.name, doubt, encode_rle(piece.crop.paste(mask.view(np.uint8) * 255, size), size)

    def _cuts(
        self, frames: Iterable[np.ndarray], tracklets: Tracklets, poses: Poses
    ) -> Generator[tuple[int, tuple[int, int], _Piece, np.ndarray, float], None, None]:
        """(frame, its (h, w), a person, their mask in the crop, its score), in order: each needs the one before."""
        state: dict[int, _Carried] = {}
        with contextlib.closing(ahead(self._prepared(frames, tracklets, poses))) as prepared:
            for t, size, pieces in prepared:
                for piece in pieces:
                    mask, doubt, state[piece.name] = self._cut(t, piece, state.get(piece.name))
                    yield t, size, piece, mask, doubt
                for name in [name for name, kept in state.items() if t - kept.frame > _FORGET]:
                    del state[name]

    def _prepared(
        self, frames: Iterable[np.ndarray], tracklets: Tracklets, poses: Poses
    ) -> Generator[tuple[int, tuple[int, int], list[_Piece]], None, None]:
        """(frame, its (h, w), its people): all that can be known of them before the frames ahead are cut."""
        start = np.searchsorted(tracklets.frame, np.arange(int(tracklets.frame.max(initial=-1)) + 2))
        for t, frame in enumerate(frames):
            if t + 1 >= len(start):
                break
            rows = [row for row in range(start[t], start[t + 1]) if tracklets.tracklet[row] >= 0]
            score = poses.score[rows].copy()
            score[borrowed_poses(tracklets.box[rows], poses.keypoint[rows], score)] = 0.0
            people = [(tracklets.box[row], poses.keypoint[row], score[i]) for i, row in enumerate(rows)]
            pieces = [
                self._piece(frame, int(tracklets.tracklet[row]), people[i], people[:i] + people[i + 1 :])
                for i, row in enumerate(rows)
            ]
            yield t, (frame.shape[0], frame.shape[1]), pieces

    def _piece(self, frame: np.ndarray, name: int, person: Person, others: list[Person]) -> _Piece:
        crop = crop_around(person[0], frame.shape[:2], margin=self.margin, side=self.side)
        asked = []
        region = regions(person, others, crop, lambda: asked.append(True))
        return _Piece(
            name=name,
            person=person,
            others=others,
            crop=crop,
            picture=crop.cut(frame),
            region=None if asked else region,
        )

    def _cut(self, t: int, given: _Piece, carried: _Carried | None) -> tuple[np.ndarray, float, _Carried]:
        """One person's mask of the crop, its score, and what to carry on."""
        box, crop, piece = given.person[0], given.crop, given.picture
        region = given.region or regions(given.person, given.others, crop, lambda: _prior(carried, crop, box))
        alone = all(_overlap(box, other[0]) < 0.1 for other in given.others)
        pixels = piece[region.sure if region.sure.sum() >= _FEW else region.body] if carried is None else carried.pixels
        models = (
            _learn(piece, region, pixels, alone) if carried is None or carried.age >= self.refresh else carried.models
        )
        mask = keep_body(grab(piece, region, models), region.body)
        if carried is None:
            # The bones alone miss clothes and hair: cut once more with the colours of what they led to.
            pixels = _remember(pixels, piece, mask & region.body)
            models = _learn(piece, region, pixels, alone)
            mask = keep_body(grab(piece, region, models), region.body)
        learned = carried is None or carried.age >= self.refresh
        if learned and alone:
            pixels = _remember(pixels, piece, mask & region.body)
        kept = _Carried(
            frame=t,
            age=0 if carried is None or learned else carried.age + 1,
            box=box,
            crop=crop,
            mask=mask,
            pixels=pixels,
            models=models,
        )
        return mask, _plausible(mask, region.body, crop.box_to_crop(box)), kept


_FEW = 40  # pixels below which a region teaches no colours


def _learn(piece: np.ndarray, region: Regions, pixels: np.ndarray, alone: bool) -> tuple[np.ndarray, np.ndarray]:
    """Colour models of what surrounds a person (with the bones of others who touch) and of the person."""
    around = ~region.reach
    if around.sum() < _FEW:
        around = np.ones(region.reach.shape, bool)
        around[2:-2, 2:-2] = False
    back = piece[around]
    if not alone and region.other.sum() >= _FEW:
        back = np.concatenate([thin(back, 1000), thin(piece[region.other], 500)])
    return fit_colours(back), fit_colours(pixels)


def _remember(pixels: np.ndarray, piece: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Old and new pixels of a person, half and half, so that a turn of the body is learned and the front not
    forgotten."""
    if mask.sum() < _FEW:
        return pixels
    return np.concatenate([thin(pixels, _POOL // 2), thin(piece[mask], _POOL // 2)])


def grab(piece: np.ndarray, region: Regions, models: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The cut of a crop, (h, w) bool, for given colour models.

    GrabCut (Rother et al., SIGGRAPH 2004) with its models frozen. The generator is set before each call, since
    OpenCV's gives other masks on equal input otherwise; it fails without seeds of both kinds: then the drawn body
    is the answer.
    """
    label = region.label()
    _say_clear_colours(label, piece, region, models)
    front = (label == FRONT) | (label == MAYBE_FRONT)
    if front.sum() < COMPONENTS or (~front).sum() < COMPONENTS:
        return front
    cv2.setRNGSeed(_SEED)
    label, _, _ = cv2.grabCut(piece, label, None, models[0].copy(), models[1].copy(), 1, cv2.GC_EVAL_FREEZE_MODEL)  # type: ignore[call-overload]
    return (label == FRONT) | (label == MAYBE_FRONT)


def _say_clear_colours(
    label: np.ndarray, piece: np.ndarray, region: Regions, models: tuple[np.ndarray, np.ndarray]
) -> None:
    """Make labels certain where the colours of a whole neighbourhood are.

    GrabCut's weight of smoothness is fixed (gamma = 50): the plain wall between two legs would go to the legs,
    though each of its pixels says wall, since that saves an outline.
    """
    h, w = label.shape
    small = cv2.resize(piece, (max(w // 3, 1), max(h // 3, 1)), interpolation=cv2.INTER_AREA)
    ratio = cv2.resize(cv2.blur(log_ratio(small, *models), (3, 3)), (w, h), interpolation=cv2.INTER_LINEAR)
    label[(ratio < -_CLEAR) & (label == MAYBE_BACK)] = BACK
    label[(ratio > _CLEAR) & (label == MAYBE_FRONT)] = FRONT


_CLEAR = 2.0  # nats a pixel


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """The share of box a that box b covers."""
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    return float(np.prod(shared) / max(np.prod(a[2:] - a[:2]), 1.0))


def _prior(carried: _Carried | None, crop: Crop, box: np.ndarray) -> np.ndarray | None:
    if carried is None:
        return None
    return move_prior(carried.mask, carried.crop, carried.box, crop, box)


def _plausible(mask: np.ndarray, body: np.ndarray, box: np.ndarray) -> float:
    """0..1: how well a mask holds the drawn body and fills its box as bodies do (a fifth to nine tenths)."""
    held = float((body & mask).sum() / body.sum()) if body.any() else 0.5
    fill = float(mask.sum() / max(np.prod(box[2:] - box[:2]), 1.0))
    return held * float(np.clip(fill / 0.2, 0, 1) * np.clip((1.15 - fill) / 0.25, 0, 1))


__all__ = ["BACK", "GrabCut", "grab"]
