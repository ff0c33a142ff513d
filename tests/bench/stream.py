"""Windows from our shards beside a webdataset pipeline over the same clips as JPEG frames and PNG masks.

    python -m tests.bench.stream [--out DATASET] [--quick]

The other side is as quick as OpenCV makes it: one tar of the same clips, frames as JPEG of quality 92, a PNG a person,
decoded with cv2 on one thread; it decodes the window's 16 frames only, or all of the clip, from the members that
webdataset gives. Seconds are of the processor (user and system, one thread), which other work on the machine disturbs
least; the sides take turns, round by round, and figures are medians of rounds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from datasets import tar
from datasets.members import Bundle, decode_sample, encode_sample
from datasets.records import Clip, Sample
from datasets.sample_list import list_samples
from datasets.shards import read_sample, write_shard
from datasets.stream import ShardStream
from datasets.video import VideoWriter, read_frames
from tests.draw_people import Figure, cast_of, draw_clip

WINDOW, SIZE, QUALITY = 16, (256, 256), 92
FOOTAGE = ("duet_case01", "duet_case12", "humanrob_01", "humanrob_04", "duet_case10")
MOST_FRAMES = 150


def main(argv: list[str]) -> int:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.stream", description=__doc__)
    parser.add_argument("--out", help="a built dataset to take clips from, instead of footage with drawn masks")
    parser.add_argument("--quick", action="store_true", help="two clips and few rounds")
    arguments = parser.parse_args(argv)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        # JPEG and PNG hold no depth and no bodies: neither does our side here.
        bundles = from_dataset(arguments.out) if arguments.out else from_footage(arguments.quick)
        bundles = [replace(one, extra={}) for one in bundles]
        shard, other = Path(folder) / "train-000000.tar", Path(folder) / "jpeg.tar"
        write_shard(shard, ((one.clip.key, one.clip.key, encode_sample(one)) for one in bundles))
        other.write_bytes(b"".join(jpeg_members(bundles)) + tar.END)
        rows = sizes(bundles, shard, other) + speeds(bundles, shard, other, rounds=3 if arguments.quick else 9)
    print(json.dumps({"bench": "stream", "rows": rows}))
    return 0


def from_dataset(out: str) -> list[Bundle]:
    """Clips of a built dataset."""
    bundles = []
    for ref in list_samples(out, split=None, include_review=True)[:8]:
        with open(ref.shard, "rb") as file:
            bundles.append(decode_sample(read_sample(file, ref.key, ref.offset, ref.size)))
    return bundles


def from_footage(quick: bool) -> list[Bundle]:
    """The shared footage, or drawn clips where there is none, with two drawn people's masks and poses."""
    footage = Path(os.environ.get("DUET_SHARED", "../shared")) / "footage"
    names = FOOTAGE[:2] if quick else FOOTAGE
    if not footage.is_dir():
        print(f"stream: no {footage}: drawn clips instead, which code smaller than footage", file=sys.stderr)
        return [bundle(name, drawn(60)) for name in names]
    return [bundle(name, _first(read_frames(footage / f"{name}.mp4"))) for name in names]


def drawn(frames: int) -> list[np.ndarray]:
    """A clip of drawn people."""
    return draw_clip(figures(), frames=frames, size=(512, 512))[1]


def _first(frames: Iterator[np.ndarray]) -> list[np.ndarray]:
    return [frame for _, frame in zip(range(MOST_FRAMES), frames, strict=False)]


def figures() -> list[Figure]:
    """Two people who cross."""
    return [
        Figure(start=(0.3, 0.95), stop=(0.6, 0.95), height=0.8),
        Figure(start=(0.65, 0.9), stop=(0.35, 0.9), height=0.75),
    ]


def bundle(name: str, frames: list[np.ndarray]) -> Bundle:
    """One sample in the shard encoding."""
    size = frames[0].shape[:2]
    people, _ = draw_clip(figures(), frames=len(frames), size=size)
    with tempfile.TemporaryDirectory() as folder:
        with VideoWriter(Path(folder) / "clip.mp4", fps=Fraction(30), size=size) as writer:
            for frame in frames:
                writer.write(frame)
        video = (Path(folder) / "clip.mp4").read_bytes()
    key = f"{name.replace('.', '-')}-00000000-00000000"
    clip = Clip(
        key=key, source=name, sha256="0" * 64, file="clip.mp4", start=0, frames=len(frames), fps=Fraction(30),
        size=size, audio=False, licence="",
    )  # fmt: skip
    sample = Sample(
        key=key, verdict="accepted", reasons=(), scores={}, reference_frame=0, coverage=(1.0,) * people.num_people,
        provenance={},
    )  # fmt: skip
    png = cv2.imencode(".png", frames[0][..., ::-1])[1].tobytes()
    return Bundle(clip=clip, people=people, cast=cast_of(people), sample=sample, video=video, reference=png)


def jpeg_members(bundles: list[Bundle]) -> Iterator[bytes]:
    """The same clips as a user of JPEG frames would keep them: 000000.jpg, 000000.0.png, ... and the json and poses."""
    for one in bundles:
        members = encode_sample(one)
        for name in ("json", "pose.npz"):
            yield tar.pack(f"{one.clip.key}.{name}", members[name])
        for t, frame in enumerate(read_frames(one.video)):
            data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
            yield tar.pack(f"{one.clip.key}.{t:06d}.jpg", data)
            for p in range(one.people.num_people):
                png = cv2.imencode(".png", one.people.mask_at(p, t).astype(np.uint8) * 255)[1].tobytes()
                yield tar.pack(f"{one.clip.key}.{t:06d}.{p}.png", png)


def sizes(bundles: list[Bundle], shard: Path, other: Path) -> list[dict[str, Any]]:
    """Bytes of both tars."""
    frames = sum(one.clip.frames for one in bundles)
    ours, theirs = shard.stat().st_size, other.stat().st_size
    told = f"{len(bundles)} clips, {frames} frames, bytes a frame"
    return [
        {
            "what": "bytes of the shard, reference image and all, beside JPEG and PNG",
            "ours": ours / frames, "other": theirs / frames, "ratio": ours / theirs, "wanted": "<= 0.25", "sizes": told,
        }
    ]  # fmt: skip


def speeds(bundles: list[Bundle], shard: Path, other: Path, *, rounds: int) -> list[dict[str, Any]]:
    """Windows a processor second: each side's median round, the sides taking turns."""
    stream = ShardStream([shard], split=None, window=WINDOW, size=SIZE)
    sides: dict[str, Callable[[int], int]] = {
        "ours": lambda r: ours(stream, r),
        "window": lambda r: webdataset_windows(other, r, whole=False),
        "clip": lambda r: webdataset_windows(other, r, whole=True),
    }
    held = list(webdataset_samples(other))
    sides["decode"] = lambda r: decode_only(held, r, cv2.IMREAD_COLOR)
    sides["half"] = lambda r: decode_only(held, r, cv2.IMREAD_REDUCED_COLOR_2)
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side(0)
    for at in range(1, rounds + 1):
        for name, side in sides.items():
            # A whole-clip round is as long as several of the others.
            if name == "clip" and at > max(2, rounds // 3):
                continue
            start = time.process_time()
            count = side(at)
            spent[name].append((time.process_time() - start) / count)
    rate = {name: 1 / statistics.median(times) for name, times in spent.items()}
    height, width = bundles[0].clip.size
    told = f"{WINDOW} frames at {SIZE[1]}x{SIZE[0]}, RGB and a mask a person, from {width}x{height}"
    return [
        {
            "what": f"windows a core second; webdataset {what}",
            "ours": rate["ours"], "other": rate[name], "ratio": rate["ours"] / rate[name], "wanted": wanted,
            "sizes": told,
        }
        for name, what, wanted in (
            ("window", "decoding only the window", ">= 1"),
            ("clip", "decoding the clip", ">= 2"),
            ("decode", "left out, its decoding alone from memory", "to know"),
            ("half", "left out, its decoding alone, JPEGs decoded at half their size", "to know"),
        )
    ]  # fmt: skip


def ours(stream: ShardStream, epoch: int) -> int:
    """One epoch of our stream; the windows made."""
    stream.set_epoch(epoch)
    return sum(sample["video"].shape[0] == WINDOW for sample in stream)


def webdataset_samples(path: Path) -> Iterator[dict[str, Any]]:
    """The clips of the other side."""
    import webdataset

    yield from webdataset.WebDataset(str(path), shardshuffle=False)


def webdataset_windows(path: Path, epoch: int, *, whole: bool) -> int:
    """One epoch of the other side; the windows made."""
    done = 0
    for sample in webdataset_samples(path):
        done += decode(sample, np.random.default_rng((epoch, done)), whole=whole)
    return done


def decode_only(samples: list[dict[str, Any]], epoch: int, flag: int) -> int:
    """The other side's decoding, without reading its tar."""
    return sum(
        decode(sample, np.random.default_rng((epoch, at)), whole=False, flag=flag) for at, sample in enumerate(samples)
    )


def decode(sample: dict[str, Any], rng: np.random.Generator, *, whole: bool, flag: int = cv2.IMREAD_COLOR) -> int:
    """A random window of one clip: RGB, masks at training size, and poses."""
    about = json.loads(sample["json"])
    start = int(rng.integers(about["frames"] - WINDOW + 1))
    wanted = range(about["frames"]) if whole else range(start, start + WINDOW)
    video = np.stack([picture(sample[f"{t:06d}.jpg"], flag) for t in wanted])
    mask = np.stack([[matte(sample[f"{t:06d}.{p}.png"]) for t in wanted] for p in range(len(about["people"]))])
    pose = dict(np.load(io.BytesIO(sample["pose.npz"]), allow_pickle=False))
    if whole:
        video, mask = video[start : start + WINDOW], mask[:, start : start + WINDOW]
    assert video.shape == (WINDOW, *SIZE, 3)
    assert mask.shape[1:] == (WINDOW, *SIZE)
    assert pose["keypoint"].shape[1] == about["frames"]
    return 1


def picture(data: bytes, flag: int) -> np.ndarray:
    """A JPEG as RGB at training size."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    return cv2.cvtColor(cv2.resize(bgr, SIZE[::-1], interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB)


def matte(data: bytes) -> np.ndarray:
    """A PNG as a mask at training size."""
    grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return cv2.resize(grey, SIZE[::-1], interpolation=cv2.INTER_NEAREST) > 127


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
