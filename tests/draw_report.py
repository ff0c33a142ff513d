"""A report over drawn clips: accepted ones, doubted ones, and rejects, as a run would leave them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.records import Event, People
from datasets.store import Store
from tasks.batch import Batch, Cost, Env, Item, Reject
from tasks.judge import Config as JudgeConfig
from tasks.judge import judge
from tasks.report import Config, report
from tests.draw_people import Figure, draw_clip, store_clip

RED, BLUE, GREEN = (200, 60, 60), (60, 90, 200), (60, 170, 90)
REJECTS = (
    Reject(source="street.mp4", clip="street-11111111-00000000", stage="judge", fault=False,
           reason="20 people found, at most 8 wanted; 20 of 20 people smaller than 12 % of the frame height: "
           "median 0.04 < 0.12"),
    Reject(source="solo.mp4", clip="solo-22222222-00000000", stage="judge", fault=False,
           reason="1 person found, at least 2 wanted"),
    Reject(source="solo.mp4", clip="solo-22222222-00000240", stage="judge", fault=False,
           reason="1 person found, at least 2 wanted"),
    Reject(source="hall.mp4", clip="hall-33333333-00000000", stage="judge", fault=False,
           reason="no people found in 240 frames"),
    Reject(source="<img src=x onerror=alert(1)>.mp4", clip="", stage="probe", fault=True,
           reason="VideoError: want a video, got 12 bytes of something else"),
)  # fmt: skip
COSTS = (
    Cost(stage="probe", ran=4, reused=0, seconds=1.9, frames=960),
    Cost(stage="shots", ran=4, reused=0, seconds=6.25, frames=960),
    Cost(stage="segment", ran=5, reused=1, seconds=84.0, frames=700),
    Cost(stage="segment", ran=2, reused=0, seconds=30.0, frames=200),
    Cost(stage="judge", ran=0, reused=8, seconds=0.011),
)


def doubted(people: People) -> People:
    """The same people with a place where who is who is unsure."""
    confidence = people.confidence.copy()
    low, high = people.num_frames // 3, people.num_frames // 2
    confidence[1, low:high] = np.linspace(0.6, 0.15, high - low)
    confidence[0, low:high] = 0.45
    events = (
        Event(kind="crossing", start=low - 3, stop=high + 3, people=(0, 1), note="boxes overlap by 0.62"),
        Event(kind="doubt", start=low, stop=high, people=(0, 1), note="margin 0.08"),
        Event(kind="repair", start=high, stop=high + 2, people=(1,), note="two tracklets joined"),
    )
    return dataclasses.replace(people, confidence=confidence, events=events)


def drawn_items(store: Store, *, copies: int = 1, frames: int = 40, size: tuple[int, int] = (180, 320)) -> list[Item]:
    """Items of three scenes, each `copies` times under other names, before they are judged."""
    duet = (
        Figure(start=(0.2, 0.9), stop=(0.42, 0.9), shirt=RED),
        Figure(start=(0.8, 0.9), stop=(0.6, 0.9), shirt=BLUE),
    )
    cross = (
        Figure(start=(0.15, 0.9), stop=(0.85, 0.9), shirt=RED),
        Figure(start=(0.85, 0.95), stop=(0.15, 0.95), shirt=BLUE),
    )
    trio = (*cross, Figure(start=(0.5, 0.8), stop=(0.5, 0.8), height=0.5, shirt=GREEN, seen=(frames // 4, frames)))
    scenes = []
    for name, figures, shape in (("duet", duet, size), ("cross", cross, (240, 240)), ("trio", trio, size)):
        people, pictures = draw_clip(figures, frames=frames, size=shape)
        scenes.append((name, doubted(people) if name == "cross" else people, pictures))
    items = []
    for copy in range(copies):
        for name, people, pictures in scenes:
            items.append(
                store_clip(store, f"{name}{copy:03d}", people, pictures, robots=(1,) if name == "duet" else ())
            )
    return items


def with_previews(store: Store, items: Sequence[Item]) -> Batch:
    """The items judged and with their previews."""
    env = Env(store=store)
    return report.fn(judge.fn(Batch(items=tuple(items)), JudgeConfig(), env), Config(), env)


def store_at(root: Path) -> Store:
    """A new store under a test's folder."""
    return Store(root=str(root / "store"))
