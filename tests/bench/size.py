"""Bytes on the shelf: masks a 720p frame of two people, and the whole sample a second of footage, member by member.

python -m tests.bench.size [--out DATASET] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from datasets.members import Bundle, encode_masks, encode_sample
from datasets.records import People
from datasets.video import read_frames
from tests.bench.stream import MOST_FRAMES, bundle, from_dataset
from tests.draw_people import Figure, draw_clip

SIZE = (720, 1280)
CLIPS = ("duet_case01", "duet_case12", "humanrob_04", "group2", "bedroom")


def main(argv: list[str]) -> int:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.size", description=__doc__)
    parser.add_argument("--out", help="a built dataset to weigh, instead of footage with drawn masks")
    parser.add_argument("--quick", action="store_true", help="fewer frames and clips")
    arguments = parser.parse_args(argv)
    rows = mask_rows(12 if arguments.quick else 60)
    for name, one in clips(arguments.out, arguments.quick):
        rows.append(weigh(name, one))
    print(json.dumps({"bench": "size", "rows": rows}))
    return 0


def mask_rows(frames: int) -> list[dict[str, Any]]:
    """mask.npz beside a PNG a person, for smooth outlines and for ragged ones such as GrabCut draws."""
    figures = [
        Figure(start=(0.3, 0.97), stop=(0.6, 0.97), height=0.9),
        Figure(start=(0.7, 0.95), stop=(0.4, 0.95), height=0.9),
    ]
    people, _ = draw_clip(figures, frames=frames, size=SIZE)
    rows = []
    for what, masks in (("smooth", people.mask), ("ragged", ragged(people))):
        ours = len(encode_masks(masks)) / frames
        png = (
            sum(len(cv2.imencode(".png", masks.decode(i).astype(np.uint8) * 255)[1]) for i in range(len(masks)))
            / frames
        )
        area = masks.areas().mean() / (SIZE[0] * SIZE[1])
        rows.append(
            {
                "what": f"mask bytes a frame, {what} outlines, beside a PNG a person", "ours": ours, "other": png,
                "ratio": ours / png, "wanted": "ours <= 3072",
                "sizes": f"{frames} frames of 1280x720, 2 people, each {area:.1%} of the frame",
            }
        )  # fmt: skip
    return rows


def ragged(people: People) -> Any:
    """The masks with an outline that wanders by a pixel or two, another way in each frame."""
    rng, out, taken = np.random.default_rng(0), [], {}
    for i in range(len(people.mask)):
        blur = cv2.GaussianBlur(people.mask.decode(i).astype(np.float32), (0, 0), 4)
        noise = cv2.GaussianBlur(rng.standard_normal(SIZE).astype(np.float32), (0, 0), 4) * 2.0
        frame = i % people.num_frames
        mask = (blur + noise > 0.5) & (blur > 0.05) & ~taken.get(frame, np.zeros(SIZE, bool))
        taken[frame] = mask | taken.get(frame, np.zeros(SIZE, bool))
        out.append(mask)
    return people.mask.encode(out, size=SIZE)


def clips(out: str | None, quick: bool) -> list[tuple[str, Bundle]]:
    """What to weigh: a built dataset, or footage with drawn masks, or drawn clips."""
    if out:
        return [(one.clip.key, one) for one in from_dataset(out)]
    footage = Path(os.environ.get("DUET_SHARED", "../shared")) / "footage"
    if not footage.is_dir():
        print(f"size: no {footage}: a drawn clip instead, which codes smaller than footage", file=sys.stderr)
        return [
            ("drawn", bundle("drawn", draw_clip([Figure(), Figure(start=(0.7, 0.9))], frames=60, size=(512, 512))[1]))
        ]
    names = CLIPS[:1] if quick else CLIPS
    return [(name, bundle(name, list(read_frames(footage / f"{name}.mp4"))[:MOST_FRAMES])) for name in names]


def weigh(name: str, one: Bundle) -> dict[str, Any]:
    """Bytes a second of one sample, by member, beside the frames as JPEG of quality 92."""
    seconds = one.clip.duration_s
    members = Counter({member: len(data) / seconds for member, data in encode_sample(one).items()})
    jpeg = [
        len(cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1])
        for frame in read_frames(one.video)
    ]
    told = ", ".join(f"{member} {count / 1000:.1f}" for member, count in members.most_common())
    height, width = one.clip.size
    return {
        "what": f"kB a second of {name}, beside its frames alone as JPEG",
        "ours": members.total() / 1000,
        "other": sum(jpeg) / seconds / 1000,
        "ratio": members.total() * seconds / sum(jpeg),
        "sizes": f"{width}x{height}, {one.clip.frames} frames, {one.people.num_people} people; kB a second: {told}",
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
