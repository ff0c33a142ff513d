"""Clip, Tracklets, Poses, Segments -> People: one identity each through the whole clip, and how sure that is."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.counted import counted
from datasets.records import CameraMotion, Poses, Segments, Tracklets, load_record, save_record
from tasks.batch import Batch, Env, Item, Refused, Stage
from tasks.brought import KEYPOINTS, TRACKS, has, poses_have_ids
from tasks.clips import clip_of, clip_record
from tasks.frames import FRAMES
from tasks.ops.bind import Rules, Watch
from tasks.ops.bind import bind as bind_tracks
from tasks.ops.bind_points import PointScales
from tasks.ops.cast import Limits, Shot, Watched
from tasks.ops.colour_looks import ColourTaker
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.onlookers import OnlookerLimits
from tasks.ops.point_tracks import follow_points, watched
from tasks.ops.tracks import Track

VERSION = 22
NEVER = 2.0  # an intersection over union that no boxes have


@dataclass(frozen=True, kw_only=True)
class Config:
    """Who counts as one of the people, and how far gaps are filled."""

    people: int | None = None  # exactly so many; None: as many as the evidence asks for
    max_people: int = 8  # more than this is a crowd, turned away
    min_height: float = 0.35  # of the main people's height: smaller ones are audience
    min_presence: float = 0.15  # share of the frames in which someone must be found; below, a passer-by
    onlookers: Literal["drop", "keep"] = "drop"  # people who only stand and look on, further off than all performers
    touch: float = 0.15  # intersection over union from which two boxes touch
    clinch: float = 0.35  # and from which a tracklet is cut where it is closest
    fill_s: float = 0.25  # gaps up to this are interpolated, longer ones left open
    doubt_s: float = 0.25  # how far an unsure step makes its surroundings unsure
    points: bool = True  # points on people's bodies are followed through contacts, on the pictures
    colours: bool = True  # the colours of people's masks tell who is who, beside re-ID
    doubt: float = 0.7  # probability, 0..1, below which a step from track to track becomes an event

    def __post_init__(self) -> None:
        if self.people is not None and not 1 <= self.people <= self.max_people:
            raise ValueError(f"bind.people: want 1 .. {self.max_people} or none, got {self.people}")
        if not 0 <= self.doubt <= 1 or not 0 < self.touch < 1:
            raise ValueError(f"bind: want doubt and touch within 0 .. 1, got {self.doubt} and {self.touch}")
        if self.fill_s < 0 or self.doubt_s < 0:
            raise ValueError(f"bind: want fill_s and doubt_s of 0 or more, got {self.fill_s} and {self.doubt_s}")


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Bind a clip's tracks to its people. Refuses a clip in which nobody stays, or a crowd does."""
    clip = clip_record(item)
    rules = Rules(
        limits=Limits(people=config.people, min_height=config.min_height, min_presence=config.min_presence),
        onlookers=OnlookerLimits() if config.onlookers == "drop" else None,
        touch=config.touch,
        # Ids that a person brought hold through a contact.
        clinch=NEVER if has(item.artifacts, TRACKS) else config.clinch,
        fill_s=config.fill_s,
        doubt_s=config.doubt_s,
        doubt=config.doubt,
        own_poses=has(item.artifacts, TRACKS) and poses_have_ids(item),
    )
    segments = load_record(Segments, item.folder("segment") / "segments.npz")
    people, left_out = bind_tracks(
        load_record(Tracklets, item.folder("track") / "tracklets.npz"),
        load_record(Poses, item.folder("pose") / "poses.npz"),
        segments,
        load_record(CameraMotion, item.folder("track") / "camera.npz"),
        Shot(frames=clip.frames, fps=float(clip.fps), size=clip.size),
        rules,
        # Ids that a person brought are not asked of the picture.
        None if has(item.artifacts, TRACKS) else _watching(item, segments, config, rules.costs.points),
    )
    if not people.num_people:
        why = sorted({left.why for left in left_out})
        tracks = counted(len(left_out), "track")
        raise Refused(f"nobody stays in the picture: {tracks} left out ({'; '.join(why) or 'none found'})")
    if people.num_people > config.max_people:
        raise Refused(f"a crowd: {people.num_people} people bound, wanted at most {config.max_people}")
    save_record(people, out / "people.npz")


def _watching(item: Item, segments: Segments, config: Config, scales: PointScales) -> Watch:
    """Points and colours on the clip's own pictures; none of it is decoded where they cannot tell who is who."""
    clip, path = clip_of(item)
    fps = float(clip.fps)

    def watch(tracks: list[Track], crops: MaskCrops) -> Watched:
        first_stop = min((track.stop for track in tracks), default=clip.frames)
        if first_stop > max((track.start for track in tracks), default=0):
            return Watched()  # nobody could go on as anybody else
        with contextlib.closing(FRAMES.read(path, clip.frames)) as frames:
            taker = ColourTaker(crops=crops, frame=segments.frame, fps=fps)
            seen = taker.watching(frames) if config.colours else frames
            points = None
            if config.points:
                reach = math.ceil(max(scales.end_s, 2 * scales.slide_s) * fps)
                wanted = watched(tracks, clip.frames, window=math.ceil(scales.window_s * fps), reach=reach)
                points = follow_points(seen if wanted.any() else (), crops, segments.frame, wanted)
            if config.colours:
                for _ in seen:  # what lies behind the last contact
                    pass
            return Watched(points=points, colours=taker.taken if config.colours else None)

    return watch


STAGE = Stage(
    name="bind",
    version=VERSION,
    inputs=("shots", "track", "pose", "segment"),
    compute=compute,
    takes=(*TRACKS, *KEYPOINTS),
)


@task(name="bind", cache_policy=NO_CACHE, persist_result=False)
def bind(batch: Batch, config: Config, env: Env) -> Batch:
    """One batch through this stage."""
    return STAGE.run(batch, config, env)
