"""Clip, Tracklets -> Poses: the keypoints of every box, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.records import Poses, Tracklets, load_record, save_record
from datasets.skeleton import SKELETONS
from tasks.backends.table import SKELETON_OF, PoseName, estimator
from tasks.batch import Batch, Env, Item, Stage
from tasks.brought import KEYPOINTS, TRACKS, WHOLE_KEYPOINTS, has
from tasks.brought_rows import brought_poses
from tasks.clips import clip_of
from tasks.detect import where
from tasks.frames import FRAMES

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """How poses are estimated; the skeleton follows from the estimator."""

    estimator: PoseName = "movenet-lightning"


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """Pose every row that belongs to a tracklet; the others keep a score of 0."""
    clip, path = clip_of(item)
    tracklets = load_record(Tracklets, item.folder("track") / "tracklets.npz")
    given = brought_poses(item, clip, tracklets)
    if given is not None and not given.left.any():
        save_record(given.poses, out / "poses.npz")
        return
    network = estimator(config.estimator, where(env))
    skeleton = SKELETON_OF[config.estimator]
    joints = len(SKELETONS[skeleton].joints)
    keypoint = np.zeros((len(tracklets.frame), joints, 2), np.float32)
    score = np.zeros((len(tracklets.frame), joints), np.float32)
    if given is not None:
        keypoint, score, skeleton = given.widened(skeleton)
    wanted = tracklets if given is None else given.rest(tracklets)
    for rows, points, sure in network.estimate_each(people_of(path, wanted)):
        keypoint[rows, :joints], score[rows, :joints] = points, sure
    poses = Poses(frame=tracklets.frame, keypoint=keypoint, score=score, skeleton=skeleton)
    save_record(poses, out / "poses.npz")


def people_of(path: Path, tracklets: Tracklets) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(rows that belong to tracklets, the frame, their boxes) of each frame that has such rows."""
    rows_of = np.searchsorted(tracklets.frame, np.arange(int(tracklets.frame.max(initial=-1)) + 2))
    for t, frame in enumerate(FRAMES.read(path, len(rows_of) - 1)):
        rows = np.arange(rows_of[t], rows_of[t + 1])
        rows = rows[tracklets.tracklet[rows] >= 0]
        if len(rows):
            yield rows, frame, tracklets.box[rows]


STAGE = Stage(
    name="pose",
    version=VERSION,
    inputs=("shots", "track"),
    compute=compute,
    weights=lambda config: (config.estimator,),
    takes=(*TRACKS, *KEYPOINTS),
    spared=lambda config, carried: (config.estimator,) if has(carried, WHOLE_KEYPOINTS) else (),
)


@task(name="pose", cache_policy=NO_CACHE, persist_result=False)
def pose(batch: Batch, config: Config, env: Env) -> Batch:
    """One batch through this stage."""
    return STAGE.run(batch, config, env)
