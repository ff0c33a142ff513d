"""Item, Tracklets -> the brought poses and masks as rows of Poses and Segments, and which rows are left to compute."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from datasets.perception import MaskTracks
from datasets.records import Clip, Detections, Poses, Tracklets
from datasets.skeleton import SKELETONS
from tasks.batch import Item
from tasks.brought import WHOLE_KEYPOINTS, has, ids_in, keypoints_in, masks_in
from tasks.ops.given import given_tracklets, match_boxes, match_people, match_poses

MaskRow = tuple[int, int, float, bytes]  # frame, tracklet, score, COCO counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BroughtPoses:
    """Poses with the brought ones in place, and the rows that no file speaks of."""

    poses: Poses
    left: np.ndarray  # (N,) bool

    def rest(self, tracklets: Tracklets) -> Tracklets:
        """The tracklets with only the rows that are left to compute in them."""
        return replace(tracklets, tracklet=np.where(self.left, tracklets.tracklet, -1).astype(np.int32))

    def widened(self, skeleton: str) -> tuple[np.ndarray, np.ndarray, str]:
        """keypoint (N, J, 2) and score (N, J), to be written to, in the wider of two skeletons, and its name.

        Every skeleton begins with COCO's 17 body joints.
        """
        name = max(self.poses.skeleton, skeleton, key=lambda one: len(SKELETONS[one].joints))
        rows, joints = self.poses.score.shape
        keypoint = np.zeros((rows, len(SKELETONS[name].joints), 2), np.float32)
        score = np.zeros(keypoint.shape[:2], np.float32)
        keypoint[:, :joints], score[:, :joints] = self.poses.keypoint, self.poses.score
        return keypoint, score, name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BroughtMasks:
    """Brought masks as rows, ascending by frame, and the frames that the file speaks of."""

    rows: list[MaskRow]
    annotated: frozenset[int]

    def with_computed(self, computed: list[MaskRow]) -> list[MaskRow]:
        """All rows, ascending by frame: the computed ones only where nothing was brought."""
        both = [*self.rows, *(row for row in computed if row[0] not in self.annotated)]
        return sorted(both, key=lambda row: row[:2])


def brought_tracklets(item: Item, clip: Clip, found: Detections) -> Tracklets:
    """Brought boxes with the ids they came with; nobody's looks are taken, for the ids say who is who."""
    ids = ids_in(item, clip, len(found.frame))
    return Tracklets(
        frame=found.frame,
        box=found.box,
        score=found.score,
        tracklet=given_tracklets(found.frame, found.box, ids, float(clip.fps)),
        embedding=no_looks(len(found.frame)),
    )


def no_looks(rows: int) -> np.ndarray:
    """Appearance vectors of rows that nobody looked at."""
    return np.zeros((rows, 1), np.float32)


def brought_poses(item: Item, clip: Clip, tracklets: Tracklets) -> BroughtPoses | None:
    """The brought poses, each at the row that is its person's; None when none were brought."""
    given = keypoints_in(item, clip)
    if given is None:
        return None
    ids = ids_in(item, clip, len(tracklets.frame))
    joints = given.score.shape[1]
    keypoint = np.zeros((len(ids), joints, 2), np.float32)
    score = np.zeros((len(ids), joints), np.float32)
    for t in np.unique(given.frame):
        rows, here = np.flatnonzero(tracklets.frame == t), np.flatnonzero(given.frame == t)
        own = match_poses(tracklets.box[rows], ids[rows], given.keypoint[here], given.score[here], given.id[here])
        keypoint[rows[own >= 0]] = given.keypoint[here[own[own >= 0]]]
        score[rows[own >= 0]] = given.score[here[own[own >= 0]]]
    whole = has(item.artifacts, WHOLE_KEYPOINTS)
    left = np.zeros(len(ids), bool) if whole else ~np.isin(tracklets.frame, given.annotated)
    poses = Poses(frame=tracklets.frame, keypoint=keypoint, score=score, skeleton=given.skeleton)
    return BroughtPoses(poses=poses, left=left & (tracklets.tracklet >= 0))


def brought_masks(item: Item, clip: Clip, tracklets: Tracklets) -> BroughtMasks | None:
    """The brought masks, each with the tracklet that is its person's; None when none were brought."""
    given = masks_in(item, clip)
    if given is None:
        return None
    ids = ids_in(item, clip, len(tracklets.frame))
    tracklet = _by_person(given, tracklets, ids) if (ids >= 0).any() else _by_frame(given, tracklets)
    rows, taken = [], set()
    for i in np.flatnonzero(tracklet >= 0):
        row = int(given.frame[i]), int(tracklet[i]), 1.0, given.mask.counts(int(i))
        if row[:2] not in taken:
            taken.add(row[:2])
            rows.append(row)
    return BroughtMasks(rows=sorted(rows, key=lambda row: row[:2]), annotated=frozenset(given.annotated.tolist()))


def _by_person(given: MaskTracks, tracklets: Tracklets, ids: np.ndarray) -> np.ndarray:
    """Each mask's tracklet, (M,): of its person's tracklets the one that is there, or the nearest in time."""
    numbered = all(name.isdecimal() and int(name) == int(number) for number, name in given.names.items())
    boxes = given.mask.boxes()
    whose = match_people(tracklets.frame, tracklets.box, ids, given.frame, boxes, given.id, numbered=numbered)
    out = np.full(len(given.frame), -1)
    for i, (t, one) in enumerate(zip(given.frame, given.id, strict=True)):
        rows = np.flatnonzero(ids == whose.get(int(one), -2))
        if len(rows):
            out[i] = tracklets.tracklet[rows[np.abs(tracklets.frame[rows] - t).argmin()]]
    return out


def _by_frame(given: MaskTracks, tracklets: Tracklets) -> np.ndarray:
    """Each mask's tracklet, (M,), where boxes have no ids: that of the box in its frame that it fills best."""
    out, box = np.full(len(given.frame), -1), given.mask.boxes()
    for t in np.unique(given.frame):
        masks = np.flatnonzero(given.frame == t)
        rows = np.flatnonzero((tracklets.frame == t) & (tracklets.tracklet >= 0))
        own = match_boxes(tracklets.box[rows], box[masks])
        out[masks[own >= 0]] = tracklets.tracklet[rows[own[own >= 0]]]
    return out
