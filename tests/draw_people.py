"""Drawn people: walking figures with exact keypoints and masks, so that a test knows the truth it looks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from datasets.masks import Masks
from datasets.records import Cast, Clip, Event, People, Tracklets, save_record
from datasets.store import Store
from datasets.video import VideoWriter
from tasks.batch import Item

FPS = Fraction(25)
# A standing figure in units of its height: x to the right, y down from the crown; COCO-17 order.
_STAND = np.array(
    [
        [0, .09], [.02, .07], [-.02, .07], [.045, .08], [-.045, .08], [.11, .2], [-.11, .2], [.15, .36], [-.15, .36],
        [.16, .5], [-.16, .5], [.07, .52], [-.07, .52], [.08, .74], [-.08, .74], [.08, .96], [-.08, .96],
    ]
)  # fmt: skip
_BONES = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16), (5, 6), (11, 12), (5, 12), (6, 11))


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One person: where the feet are at start and end, as shares of the frame. Later figures stand in front."""

    start: tuple[float, float] = (0.3, 0.9)
    stop: tuple[float, float] = (0.3, 0.9)
    height: float = 0.6  # share of the frame's height
    shirt: tuple[int, int, int] = (200, 60, 60)
    swing: float = 0.12  # how far arms and legs swing, shares of the height
    seen: tuple[int, int] | None = None  # first frame and one past the last; None is all


def draw_clip(
    figures: Sequence[Figure],
    *,
    frames: int = 50,
    size: tuple[int, int] = (180, 320),
    events: Sequence[Event] = (),
    confidence: float = 1.0,
) -> tuple[People, list[np.ndarray]]:
    """The people of a drawn clip and its RGB frames."""
    keypoint = np.stack([_walk(figure, frames, size) for figure in figures]).astype(np.float32)
    pictures, masks, seen = [], [], np.zeros((len(figures), frames), bool)
    visible = np.zeros((len(figures), frames), np.float32)
    for t in range(frames):
        picture = _backdrop(size, t)
        whole = []
        for p, figure in enumerate(figures):
            seen[p, t] = figure.seen is None or figure.seen[0] <= t < figure.seen[1]
            body = _body(keypoint[p, t], figure.height * size[0], size) if seen[p, t] else np.zeros(size, bool)
            if seen[p, t]:
                _paint(picture, body, keypoint[p, t], figure, figure.height * size[0])
            whole.append(body)
        taken = np.zeros(size, bool)
        modal: list[np.ndarray] = [taken] * len(figures)
        for p in reversed(range(len(figures))):
            modal[p] = whole[p] & ~taken
            taken = taken | whole[p]
            visible[p, t] = modal[p].sum() / max(1, whole[p].sum())
        pictures.append(picture)
        masks.append(modal)
    return _people(keypoint, seen, visible, masks, size, tuple(events), confidence), pictures


def clip_of(people: People, *, key: str = "drawn-00000000-00000000", source: str = "drawn.mp4") -> Clip:
    """The Clip record that belongs to drawn people."""
    return Clip(
        key=key, source=source, sha256="0" * 64, file="00000000.mp4", start=0, frames=people.num_frames, fps=FPS,
        size=people.mask.size, audio=False, licence="drawn by a test",
    )  # fmt: skip


def cast_of(people: People, *, robots: Sequence[int] = ()) -> Cast:
    """A cast of drawn people, of whom some are said to be robots."""
    p = people.num_people
    return Cast(
        kind=tuple("robot" if i in robots else "human" for i in range(p)),
        kind_confidence=np.full(p, 0.9, np.float32),
        kind_reason=tuple("drawn" for _ in range(p)),
        identity=tuple(f"person-{i}" for i in range(p)),
        identity_confidence=np.full(p, 0.9, np.float32),
    )


def store_clip(
    store: Store, name: str, people: People, pictures: Sequence[np.ndarray], *, robots: Sequence[int] = ()
) -> Item:
    """The item of a drawn clip as `render` would leave it: its record, video, people and cast in the store."""
    clip = clip_of(people, key=f"{name}-00000000-00000000", source=f"{name}.mp4")

    def write(out: Path) -> None:
        save_record(clip, out / "clip.npz")
        save_record(people, out / "people.npz")
        save_record(cast_of(people, robots=robots), out / "cast.npz")
        with VideoWriter(out / "clip.mp4", fps=FPS, size=people.mask.size) as video:
            for picture in pictures:
                video.write(picture)

    about = {"item": clip.key, "config": {}, "version": 1, "weights": {"pencil": "2b"}}
    artifact, _ = store.make("render", f"{name:0<32}", write, about=about)
    return Item(key=clip.key, source=clip.source, path=clip.source, frames=clip.frames, artifacts={"render": artifact})


def _walk(figure: Figure, frames: int, size: tuple[int, int]) -> np.ndarray:
    share = np.linspace(0, 1, frames)[:, None]
    feet = (np.array(figure.start) * (1 - share) + np.array(figure.stop) * share) * np.array([size[1], size[0]])
    body = np.repeat(_STAND[None], frames, axis=0)
    phase = np.sin(np.arange(frames) * 2 * np.pi / 25)[:, None] * figure.swing
    for side, joints in ((1, (9, 16)), (-1, (10, 15))):
        body[:, joints, 0] += side * phase
    body[:, (7, 8), 0] += phase * np.array([0.5, -0.5])
    body[:, (13, 14), 0] += phase * np.array([-0.5, 0.5])
    return (body - np.array([0, 1.0])) * figure.height * size[0] + feet[:, None]


def _body(keypoint: np.ndarray, height: float, size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    point = np.round(keypoint).astype(int)
    for a, b in _BONES:
        cv2.line(mask, tuple(point[a].tolist()), tuple(point[b].tolist()), 1, max(2, round(height * 0.075)))
    cv2.fillConvexPoly(mask, point[[5, 6, 12, 11]], 1)
    cv2.circle(mask, tuple(point[0].tolist()), max(2, round(height * 0.085)), 1, -1)
    return mask.astype(bool)


def _paint(picture: np.ndarray, body: np.ndarray, keypoint: np.ndarray, figure: Figure, height: float) -> None:
    rows = np.arange(len(picture))[:, None]
    top = keypoint[0, 1]
    picture[body & (rows < top + 0.09 * height)] = (224, 180, 150)
    picture[body & (rows >= top + 0.09 * height)] = figure.shirt
    picture[body & (rows >= top + 0.45 * height)] = (50, 55, 90)


def _backdrop(size: tuple[int, int], t: int) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    weave = ((x // 12 + y // 12) % 2) * 14
    shade = (120 + weave + 50 * y / size[0])[..., None] + np.array([0, 4, 10])
    # A light that wanders: no two frames are equal, as in any real footage.
    shade += 12 * np.sin(t / 7 + x / 40)[..., None]
    return shade.clip(0, 255).astype(np.uint8)


def _people(
    keypoint: np.ndarray,
    seen: np.ndarray,
    visible: np.ndarray,
    masks: list[list[np.ndarray]],
    size: tuple[int, int],
    events: tuple[Event, ...],
    confidence: float,
) -> People:
    people, frames = seen.shape
    inside = np.zeros((people, frames, 17), bool)
    box = np.zeros((people, frames, 4), np.float32)
    for p in range(people):
        for t in range(frames):
            mask = masks[t][p]
            point = np.round(keypoint[p, t]).astype(int)
            fits = ((point >= 0) & (point < [size[1], size[0]])).all(axis=1)
            inside[p, t, fits] = mask[point[fits, 1], point[fits, 0]]
            if mask.any():
                x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
                box[p, t] = (x, y, x + w, y + h)
    fits = ((keypoint >= 0) & (keypoint < [size[1], size[0]])).all(axis=-1) & seen[..., None]
    flat = [masks[t][p] for p in range(people) for t in range(frames)]
    return People(
        box=box,
        keypoint=keypoint,
        score=fits.astype(np.float32) * 0.9,
        flag=np.where(inside, 2, np.where(fits, 1, 0)).astype(np.uint8),
        mask=Masks.encode(flat, size=size),
        present=seen,
        visible=visible,
        confidence=np.where(seen, confidence, 0).astype(np.float32),
        skeleton="coco17",
        events=events,
    )


def found_boxes_at(rows: Sequence[tuple[int, Any]]) -> Tracklets:
    """Found boxes (frame, (x0, y0, x1, y1)), ascending by frame, all of one tracklet and nobody looked at."""
    return Tracklets(
        frame=np.array([t for t, _ in rows], np.int32),
        box=np.array([box for _, box in rows], np.float32),
        score=np.full(len(rows), 0.9, np.float32),
        tracklet=np.zeros(len(rows), np.int32),
        embedding=np.zeros((len(rows), 1), np.float32),
    )
