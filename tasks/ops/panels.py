"""Frame, People at that frame -> the preview picture: input, both cut-outs with poses, each person alone, matte.

The order is that of DanceTogether's published pipeline videos (arXiv 2505.18078, project page).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from datasets.condition import draw_pose, fit_points, mask_maps, person_color, tint
from datasets.records import People
from tasks.ops.scores import SEEN

GREEN = (0, 255, 0)
# Persons that get a panel of their own; more are told in words.
MAX_ALONE = 8
_MAX_HEIGHT = 288
_MAX_PIXELS = 600_000
# Wide enough to fill a page, tall enough to see people in it.
_ASPECT = 3.4
_FAINT = 0.35
_GAP = np.array([24, 26, 30], np.uint8)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the panels of a clip with P people lie in one picture."""

    panel: tuple[int, int]  # (h, w) of one panel, even
    columns: int
    rows: int
    names: tuple[str, ...]  # panels in reading order: input, together, person 1, ..., matte, and maybe condition

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the whole picture."""
        return self.panel[0] * self.rows, self.panel[1] * self.columns


def lay_out(num_people: int, size: tuple[int, int]) -> Layout:
    """The layout for a clip of `size` (h, w): the grid nearest to a wide page, the panels no larger than they need be.

    A grid with a cell to spare shows in it what a generator is conditioned on.

    >>> lay_out(2, (512, 512)).columns, lay_out(2, (720, 1280)).columns
    (5, 3)
    """
    alone = min(num_people, MAX_ALONE)
    names = ["input", "together", *(f"person {p + 1}" for p in range(alone)), "matte"]
    count, shape = len(names), size[1] / size[0]

    def off(columns: int) -> float:
        rows = -(-count // columns)
        return abs(np.log(columns * shape / rows / _ASPECT)) + 0.15 * (columns * rows - count)

    columns = min(range(1, count + 1), key=off)
    rows = -(-count // columns)
    if columns * rows > count:
        names.append("condition")
    height = min(size[0], _MAX_HEIGHT, int((_MAX_PIXELS / (shape * columns * rows)) ** 0.5))
    return Layout(
        panel=(max(2, height // 2 * 2), max(2, round(height * shape / 2) * 2)),
        columns=columns,
        rows=rows,
        names=tuple(names),
    )


def draw_panels(frame: np.ndarray, people: People, t: int, layout: Layout) -> np.ndarray:
    """The preview picture of frame t, (h, w, 3) uint8. `frame` is RGB at the size of one panel."""
    if frame.shape[:2] != layout.panel:
        raise ValueError(f"draw_panels.frame: want the panel's size {layout.panel}, got {frame.shape[:2]}")
    scene = _Scene.of(frame, people, t)
    picture = _empty(layout).copy()
    for i, name in enumerate(layout.names):
        cell = _cell(picture, layout, i)
        _paint(scene, name, cell)
        # Panels of equal ground would flow into each other.
        cell[:, :1] = _GAP
        if i >= layout.columns:
            cell[:1] = _GAP
    return picture


@lru_cache(maxsize=8)
def _empty(layout: Layout) -> np.ndarray:
    """The picture without people: grounds, and a strip in the person's colour over each who is alone."""
    picture = np.empty((*layout.size, 3), np.uint8)
    picture[:] = _GAP
    for i, name in enumerate(layout.names):
        cell = _cell(picture, layout, i)
        cell[:] = {"matte": GREEN, "condition": (0, 0, 0)}.get(name, (255, 255, 255))
        if name.startswith("person "):
            cell[:4] = person_color(_person(name))
    return picture


def _cell(picture: np.ndarray, layout: Layout, i: int) -> np.ndarray:
    row, column = divmod(i, layout.columns)
    h, w = layout.panel
    return picture[row * h : (row + 1) * h, column * w : (column + 1) * w]


def _person(name: str) -> int:
    return int(name.removeprefix("person ")) - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scene:
    """One frame at panel size."""

    frame: np.ndarray  # (h, w, 3) uint8
    alpha: np.ndarray  # (P, h, w) uint8  covered share of each pixel
    keypoint: np.ndarray  # (P, J, 2) in panel pixels
    score: np.ndarray  # (P, J)
    flag: np.ndarray  # (P, J)
    box: np.ndarray  # (P, 4) in panel pixels
    seen: np.ndarray  # (P,) bool
    present: np.ndarray  # (P,) bool
    skeleton: str
    order: Sequence[int]  # people from rear to front

    @staticmethod
    def of(frame: np.ndarray, people: People, t: int) -> _Scene:
        h, w = people.mask.size
        window, size = (0.0, 0.0, float(w), float(h)), (frame.shape[0], frame.shape[1])
        index = np.arange(people.num_people) * people.num_frames + t
        return _Scene(
            frame=frame,
            alpha=mask_maps(people.mask, index, window=window, size=size),
            keypoint=fit_points(people.keypoint[:, t], window, size),
            score=np.where(people.present[:, t, None], people.score[:, t], 0),
            flag=people.flag[:, t],
            box=fit_points(people.box[:, t].reshape(-1, 2, 2), window, size).reshape(-1, 4),
            seen=people.visible[:, t] >= SEEN,
            present=people.present[:, t],
            skeleton=people.skeleton,
            order=rear_to_front(people, t),
        )


def rear_to_front(people: People, t: int) -> list[int]:
    """People from rear to front: the less visible are behind, and of equals those who stand higher in the frame."""
    return sorted(range(people.num_people), key=lambda p: (round(float(people.visible[p, t]), 1), people.box[p, t, 3]))


def _paint(scene: _Scene, name: str, cell: np.ndarray) -> None:
    """People onto one panel's ground, in place."""
    if name == "input":
        _paint_input(scene, cell)
    elif name == "condition":
        _paint_condition(scene, cell)
    elif name == "matte":
        _cut_out(scene, scene.order, cell)
    elif name == "together":
        _cut_out(scene, scene.order, cell)
        for p in scene.order:
            _pose(scene, p, cell, person_color(p), 255)
    else:
        _cut_out(scene, [_person(name)], cell)
        _pose(scene, _person(name), cell, None, 255)


def _paint_input(scene: _Scene, cell: np.ndarray) -> None:
    cell[:] = scene.frame
    for p in scene.order:
        if not scene.seen[p]:
            continue
        mask = scene.alpha[p] >= 128
        tint(cell, mask, person_color(p), 0.4)
        edge, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(cell, edge, -1, person_color(p), 1, cv2.LINE_AA)
    for p in scene.order:
        if scene.present[p]:
            _box(cell, scene.box[p], p, hidden=not scene.seen[p])


def _box(picture: np.ndarray, box: np.ndarray, person: int, *, hidden: bool) -> None:
    """A box and the person's number; corners only for somebody who is hidden."""
    x0, y0, x1, y1 = np.round(box).astype(int).tolist()
    x1, y1, color = x1 - 1, y1 - 1, person_color(person)
    if hidden:
        arm = max(4, min(x1 - x0, y1 - y0) // 5)
        for x, y, dx, dy in ((x0, y0, arm, arm), (x1, y0, -arm, arm), (x0, y1, arm, -arm), (x1, y1, -arm, -arm)):
            cv2.line(picture, (x, y), (x + dx, y), color, 1)
            cv2.line(picture, (x, y), (x, y + dy), color, 1)
    else:
        cv2.rectangle(picture, (x0, y0), (x1, y1), color, 2)
    text, scale = str(person + 1), 0.45
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x, y = max(0, min(x0, picture.shape[1] - width - 6)), max(height + 6, y0)
    cv2.rectangle(picture, (x, y - height - 6), (x + width + 5, y), color, -1)
    cv2.putText(picture, text, (x + 3, y - 3), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)


def _cut_out(scene: _Scene, who: Sequence[int], cell: np.ndarray) -> None:
    """These people onto what is in the cell. Masks exclude each other, so their shares add up."""
    share = np.zeros(scene.frame.shape[:2], np.uint8)
    for p in who:
        cv2.add(share, scene.alpha[p], share)
    x, y, w, h = cv2.boundingRect(share)
    if w:
        ground, body = cell[y : y + h, x : x + w], scene.frame[y : y + h, x : x + w]
        weight = cv2.cvtColor(share[y : y + h, x : x + w], cv2.COLOR_GRAY2RGB)
        ground[:] = cv2.add(
            cv2.multiply(body, weight, scale=1 / 255), cv2.multiply(ground, 255 - weight, scale=1 / 255)
        )


def _paint_condition(scene: _Scene, cell: np.ndarray) -> None:
    """What the generator will see: masks dimly, poses on black."""
    for p in scene.order:
        tint(cell, scene.alpha[p] >= 128, person_color(p), 0.35)
    for p in scene.order:
        _pose(scene, p, cell, None, 0)


def _pose(scene: _Scene, p: int, picture: np.ndarray, color: Sequence[int] | None, paper: int) -> None:
    draw_pose(
        scene.keypoint[p], scene.score[p], scene.flag[p], scene.skeleton, (picture.shape[0], picture.shape[1]),
        color=color, hidden=_FAINT, canvas=picture, paper=paper,
    )  # fmt: skip
