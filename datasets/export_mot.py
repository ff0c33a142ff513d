"""Bundles -> MOTChallenge: a folder a sequence with gt/gt.txt and seqinfo.ini (motchallenge.net), and the clip itself.

A row is a person in a frame; the id is 1 for the first person. conf is 1 where the person is to be scored, 0 where less
than a tenth of them is to be seen; class 1 is a person; the last column is the visible share.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.export_parts import frames_of, write_png
from datasets.members import Bundle
from datasets.perception import Boxes
from datasets.perception_mot import write_mot

# As the metrics of this project: docs/format.md, "visible".
SCORED = 0.1


class MotWriter:
    """Writes clips into a folder, one after another."""

    def __init__(self, folder: Path, *, frames: bool) -> None:
        self._folder, self._frames = folder, frames
        self._names: list[str] = []

    def add(self, bundle: Bundle) -> None:
        """One clip as a sequence."""
        clip = bundle.clip
        sequence = self._folder / clip.key
        (sequence / "gt").mkdir(parents=True)
        boxes = boxes_of(bundle)
        (sequence / "gt" / "gt.txt").write_text(write_mot(boxes, boxes.visible >= SCORED))
        (sequence / "seqinfo.ini").write_text(_info(bundle))
        (sequence / f"{clip.key}.mp4").write_bytes(bundle.video)
        if self._frames:
            (sequence / "img1").mkdir()
            for t, picture in enumerate(frames_of(bundle), 1):
                write_png(sequence / "img1" / f"{t:06d}.png", picture)
        self._names.append(clip.key)

    def close(self) -> None:
        """The list of sequences that TrackEval reads."""
        (self._folder / "seqmap.txt").write_text("".join(f"{name}\n" for name in ["name", *self._names]))


def boxes_of(bundle: Bundle) -> Boxes:
    """A clip's people as boxes with ids; a person without a box is left out."""
    people = bundle.people
    area = (people.box[..., 2:] > people.box[..., :2]).all(axis=-1)
    t, p = np.nonzero((people.present & area).T)
    return Boxes(
        frame=t.astype(np.int32),
        id=(p + 1).astype(np.int64),
        box=people.box[p, t],
        score=np.ones(len(t), np.float32),
        visible=people.visible[p, t],
        size=bundle.clip.size,
    )


def _info(bundle: Bundle) -> str:
    clip = bundle.clip
    rate = f"{float(clip.fps):.6f}".rstrip("0").rstrip(".")
    lines = ["[Sequence]", f"name={clip.key}", "imDir=img1", f"frameRate={rate}", f"seqLength={clip.frames}"]
    lines += [f"imWidth={clip.size[1]}", f"imHeight={clip.size[0]}", "imExt=.png", ""]
    return "\n".join(lines)
