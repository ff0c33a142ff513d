"""Bundles -> StableAnimator's training tree, with a level for the person (StableAnimator README, "Model Training").

rec/00001/01/{images,poses,faces,masks}/frame_0.png, ...: 00001 is the clip, 01 the first person. Upright clips go to
vec/, others to rec/; its loader scales them. Each person's folder is a whole sample of StableAnimator's, so that
video_rec_path.txt can be given to it as it is; masks/ is what a multi-person model needs beside it. The frames are the
same for everyone of a clip: one file with several names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from datasets.condition import draw_pose
from datasets.export_parts import face_mask, frames_of, write_png
from datasets.members import Bundle

FOLDERS = ("images", "poses", "faces", "masks")


class StableAnimatorWriter:
    """Writes clips into a tree, one after another."""

    def __init__(self, folder: Path, *, frames: bool) -> None:
        self._folder = folder
        self._count = {"rec": 0, "vec": 0}
        self._people: dict[str, list[str]] = {"rec": [], "vec": []}
        self._clips: dict[str, str] = {}

    def add(self, bundle: Bundle) -> None:
        """One clip; its frames are always written."""
        height, width = bundle.clip.size
        shape = "vec" if height > width else "rec"
        self._count[shape] += 1
        name = f"{shape}/{self._count[shape]:05d}"
        self._clips[name] = bundle.clip.key
        folders = [f"{name}/{p + 1:02d}" for p in range(bundle.people.num_people)]
        self._people[shape] += folders
        for folder in folders:
            for part in FOLDERS:
                (self._folder / folder / part).mkdir(parents=True)
        for t, picture in enumerate(frames_of(bundle)):
            self._frame(bundle, folders, t, picture)

    def close(self) -> None:
        """The lists that StableAnimator's trainer reads, and which clip is where."""
        for shape, folders in self._people.items():
            (self._folder / f"video_{shape}_path.txt").write_text("".join(f"{one}\n" for one in folders))
        (self._folder / "clips.json").write_text(json.dumps(self._clips, sort_keys=True, indent=1) + "\n")

    def _frame(self, bundle: Bundle, folders: list[str], t: int, picture: np.ndarray) -> None:
        people, first = bundle.people, None
        for p, folder in enumerate(folders):
            to = self._folder / folder
            file = f"frame_{t}.png"
            if first is None:
                first = to / "images" / file
                write_png(first, picture)
            else:
                os.link(first, to / "images" / file)
            mask = people.mask_at(p, t)
            keypoint, score = people.keypoint[p, t], people.score[p, t] * people.present[p, t]
            pose = draw_pose(keypoint, score, people.flag[p, t], people.skeleton, bundle.clip.size)
            write_png(to / "poses" / file, pose)
            write_png(to / "faces" / file, face_mask(keypoint, score, mask).view(np.uint8) * np.uint8(255))
            write_png(to / "masks" / file, mask.view(np.uint8) * np.uint8(255))
