"""Small samples and judged items, drawn and encoded, for the tests of everything from shards on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from datasets.faces import encode_faces
from datasets.masks import Masks
from datasets.members import Bundle, on_grid
from datasets.npz import write_npz
from datasets.records import Artifact, Cast, Clip, Event, Faces, Motion, People, Sample, save_record
from datasets.store import Store
from datasets.video import VideoWriter
from tasks.batch import Batch, Item
from tests.draw_people import Figure, cast_of, draw_clip

FPS = Fraction(30000, 1001)
FIGURES = (
    Figure(start=(0.2, 0.95), stop=(0.8, 0.95), height=0.8),
    Figure(start=(0.8, 0.9), stop=(0.2, 0.9), height=0.75, shirt=(60, 90, 220)),
    Figure(start=(0.5, 0.9), stop=(0.5, 0.9), height=0.7, shirt=(40, 160, 60)),
)
STAMP = 16  # side in pixels of the square in the top left corner whose grey tells the frame


@lru_cache
def drawn(people: int, frames: int, size: tuple[int, int], seed: int) -> tuple[People, bytes, bytes]:
    """People who cross, their mp4, and a reference PNG. The grey of the top left corner of frame t is 20 + 4 * t."""
    doubt = Event(kind="crossing", start=frames // 3, stop=frames // 2, people=tuple(range(people)), note="they cross")
    shift = np.random.default_rng(seed).uniform(-0.1, 0.1)
    figures = [
        Figure(start=(f.start[0] + shift, f.start[1]), stop=f.stop, height=f.height, shirt=f.shirt) for f in FIGURES
    ]
    who, pictures = draw_clip(figures[:people], frames=frames, size=size, events=[doubt], confidence=0.875)
    for t, picture in enumerate(pictures):
        picture[:STAMP, :STAMP] = 20 + 4 * (t % 56)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with VideoWriter(path, fps=FPS, size=size) as writer:
            for picture in pictures:
                writer.write(picture)
        video = path.read_bytes()
    png = BytesIO()
    Image.fromarray(pictures[0]).save(png, "PNG")
    return who, video, png.getvalue()


def sha_of(source: str) -> str:
    """The digest that a test's source of this name has."""
    return hashlib.sha256(source.encode()).hexdigest()


def bundle(
    *,
    source: str = "a dance.mp4",
    start: int = 0,
    people: int = 2,
    frames: int = 20,
    size: tuple[int, int] = (96, 128),
    verdict: str = "accepted",
    seed: int = 0,
    extra: dict[str, bytes] | None = None,
) -> Bundle:
    """One whole sample."""
    who, video, reference = drawn(people, frames, size, seed)
    slug = "".join(c if c.isalnum() else "-" for c in source.removesuffix(".mp4").lower())
    key = f"{slug}-{sha_of(source)[:8]}-{start:08d}"
    clip = Clip(
        key=key, source=source, sha256=sha_of(source), file=f"{key}.mp4", start=start, frames=frames, fps=FPS,
        size=size, audio=False, licence="CC BY 4.0",
    )  # fmt: skip
    sample = Sample(
        key=key,
        verdict=verdict,  # type: ignore[arg-type]
        reasons=() if verdict == "accepted" else ("swap suspicion 0.7: want at most 0.5",),
        scores={"coverage": 0.75, "blur": float("nan"), "people": float(people)},
        reference_frame=3,
        coverage=tuple(1.0 for _ in range(people)),
        provenance={"judge": "0" * 32, "config": "c" * 64, "weights.rtmdet-nano": "d" * 64},
    )
    robots = (1,) if people > 1 else ()
    return Bundle(
        clip=clip, people=who, cast=cast_of(who, robots=robots), sample=sample, video=video, reference=reference,
        extra=extra or {},
    )  # fmt: skip


def judged(store: Store, bundles: Sequence[Bundle], *, motions: dict[str, Sequence[str]] | None = None) -> Batch:
    """The batch that has these bundles' artifacts in a store, as the stages leave them.

    A bundle whose key is in `motions` becomes a rendered scene of motions of these names, any other a clip of footage.
    """
    return Batch(items=tuple(_item(store, one, (motions or {}).get(one.clip.key)) for one in bundles))


def _item(store: Store, one: Bundle, motions: Sequence[str] | None) -> Item:
    clip, part = one.clip, f"{one.clip.start:08d}"
    content = hashlib.sha256(b"".join((one.video, one.people.mask.rle.tobytes(), one.people.keypoint.tobytes())))
    name = hashlib.sha256(
        f"{clip.key} {content.hexdigest()} {one.sample.verdict} {one.sample.reasons}".encode()
    ).hexdigest()
    artifacts: dict[str, Artifact] = {}

    def make(stage: str, files: dict[str, object], folder: str | None = None, read: str = "") -> None:
        def write(out: Path) -> None:
            for file, value in files.items():
                if isinstance(value, bytes):
                    (out / file).write_bytes(value)
                else:
                    save_record(value, out / file)

        key = hashlib.sha256(f"{folder or stage} {read or name}".encode()).hexdigest()[:32]
        before = [] if read else sorted(one.key for one in artifacts.values())
        about = {"item": read or clip.key, "part": f"{sha_of(read)} {read}" if read else part, "inputs": before}
        artifacts[folder or stage], _ = store.make(stage, key, write, about=about)

    if motions is None:
        make("probe", {"source.txt": clip.source.encode()}, read=clip.source)
        make("shots", {f"{part}.npz": clip, f"{part}.mp4": one.video})
        make("refine", {"people.npz": one.people})
        make("identify", {"cast.npz": one.cast})
    else:
        for at, motion in enumerate(motions):
            make("motion", {"motion.npz": _motion(motion)}, f"motion.{at}", read=motion)
        records = {"clip.npz": clip, "clip.mp4": one.video, "people.npz": one.people, "cast.npz": one.cast}
        make("render", {**records, **one.extra})
    make("judge", {"sample.npz": one.sample, "ref.png": one.reference})
    return Item(key=clip.key, source=clip.source, path=f"/nowhere/{clip.source}", part=part, artifacts=artifacts)


def _motion(name: str) -> Motion:
    return Motion(
        source=name, sha256=sha_of(name), layout="amass", fps=Fraction(60), model="smpl",
        pose=np.zeros((1, 2, 24, 3), np.float32), trans=np.zeros((1, 2, 3), np.float32),
        betas=np.zeros((1, 10), np.float32), gender=("neutral",),
    )  # fmt: skip


def small_npz(**arrays: np.ndarray) -> bytes:
    """The bytes of an npz, for the motion-only members."""
    buffer = BytesIO()
    write_npz(buffer, arrays)
    return buffer.getvalue()


def equal(a: Bundle, b: Bundle) -> bool:
    """Whether two bundles hold the same, records by value."""
    return (
        _fields(a.clip) == _fields(b.clip)
        and _fields(a.cast) == _fields(b.cast)
        and _fields(a.sample) == _fields(b.sample)
        and _fields(a.people) == _fields(b.people)
        and (a.video, a.reference, dict(a.extra)) == (b.video, b.reference, dict(b.extra))
    )


def _fields(record: Clip | Cast | Sample | People) -> bytes:
    buffer = BytesIO()
    save_record(record, buffer)  # type: ignore[arg-type]
    return buffer.getvalue()


EXTRA = {
    "smpl.npz": small_npz(pose=np.zeros((2, 20, 24, 3), np.float32)),
    "scene.npz": small_npz(extrinsics=np.eye(4)),
    "amodal.npz": small_npz(
        rle=np.zeros(0, np.uint8), offset=np.zeros(41, np.int64), size=np.array([96, 128], np.int32)
    ),
    "face.npz": encode_faces(
        Faces(
            box=np.zeros((2, 20, 4), np.float32),
            score=np.zeros((2, 20), np.float32),
            mask=Masks.from_counts([b""] * 40, size=(96, 128)),
            embedding=np.zeros((2, 512), np.float32),
        )
    ),
    "depth.mkv": b"\x1aE\xdf\xa3 depth",
}


def gridded(one: Bundle) -> Bundle:
    """A bundle whose poses already lie on the stored grid."""
    grid = {"keypoint": 1 / 64, "box": 1 / 64, "score": 1 / 4096, "visible": 1 / 4096, "confidence": 1 / 4096}
    return replace(one, people=replace(one.people, **{n: on_grid(getattr(one.people, n), s) for n, s in grid.items()}))
