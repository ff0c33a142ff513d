"""python -m model.generate: what it writes, what it says, and what it refuses before any work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from datasets.store import Store  # noqa: E402
from datasets.video import clip_facts, read_frames  # noqa: E402
from model.clips import clip_example  # noqa: E402
from model.config import FaceConfig, RunConfig, TrainConfig, to_json  # noqa: E402
from model.generate import main  # noqa: E402
from model.latents import build_codec  # noqa: E402
from model.network import DuetUNet  # noqa: E402
from model.pipeline import TogetherVideoPipeline  # noqa: E402
from model.reference import with_picture  # noqa: E402
from model.side_by_side import HEIGHT, write_video  # noqa: E402
from tasks.shard import Config  # noqa: E402
from tests.build_samples import bundle, judged  # noqa: E402
from tests.model_inputs import awake, nano  # noqa: E402
from tests.test_shard_task import build  # noqa: E402

SIZE = (32, 48)
NETWORK = nano(size=SIZE, frames=4, face_shape=FaceConfig(depth=1))
CLIP, OTHER = bundle(source="moves.mp4"), bundle(source="looks.mp4", people=3, seed=4)
KEY, LOOKS = CLIP.clip.key, OTHER.clip.key


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    batch = judged(Store(root=str(folder / "store")), [CLIP, OTHER])
    build(batch, folder / "out", Config(val_fraction=0, test_fraction=0))
    return folder / "out"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a network that was never trained."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    pipe = TogetherVideoPipeline.of(awake(DuetUNet.of(NETWORK)), build_codec(NETWORK.codec))
    pipe.save_pretrained(folder / "pipeline")
    config = RunConfig(preset="tiny", network=NETWORK, train=TrainConfig(stride=(2, 4), noise_aug=0.0))
    (folder / "config.json").write_text(to_json(config))
    return folder


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def plain(self) -> dict[str, Any]:
        return json.loads(self.out)


@pytest.fixture
def generate(run: Path, shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The command with all that it needs; arguments override, None leaves one out."""

    def command(**arguments: object) -> Said:
        given = {"checkpoint": run, "shards": shards, "key": KEY, "out": tmp_path / "video.mp4", "steps": 2}
        words = []
        for name, value in {**given, **arguments}.items():
            option = f"--{name.replace('_', '-')}"
            words += [] if value is None else [option] if value is True else [option, str(value)]
        capfd.readouterr()
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *capfd.readouterr())

    return command


def pixels(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(path)))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_video_and_a_side_by_side_one_and_what_was_made(generate, tmp_path: Path, run: Path, shards: Path) -> None:
    said = generate(json=True, seed=5, guidance=1.5)
    assert said.code == 0
    assert files(tmp_path) == ["video.mp4", "video.side-by-side.mp4"]
    facts, beside = clip_facts(tmp_path / "video.mp4"), clip_facts(tmp_path / "video.side-by-side.mp4")
    # The run was trained on every second frame at least.
    rate = Fraction(30000, 1001) / 2
    assert (facts.frames, facts.size, facts.fps) == (10, SIZE, rate)
    assert (beside.frames, beside.size[1], beside.fps) == (10, 4 * HEIGHT * 3 // 2 + 5 * 8, rate)
    made = said.plain
    assert made.pop("seconds") > 0
    assert made == {
        "out": str(tmp_path / "video.mp4"),
        "side_by_side": str(tmp_path / "video.side-by-side.mp4"),
        "key": KEY,
        "reference": {"key": KEY, "frame": 3, "image": None},
        "who": None,
        "frames": 10,
        "size": list(SIZE),
        "fps": "15000/1001",
        "people": 2,
        "steps": 2,
        "guidance": 1.5,
        "seed": 5,
        "stride": 2,
        "device": "cpu",
    }
    pipe = TogetherVideoPipeline.from_pretrained(run)
    one = clip_example(shards, KEY, size=SIZE, stride=2)
    again = pipe(one, steps=2, guidance=1.5, noise_aug=0.0, generator=torch.Generator().manual_seed(5)).frames[0]
    write_video(tmp_path / "again.mp4", again, rate)
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "video.mp4").read_bytes()


def test_equal_commands_write_equal_bytes(generate, tmp_path: Path, run: Path) -> None:
    written = {}
    for name, arguments in {
        "first": {},
        "again": {},
        "by its pipeline": {"checkpoint": run / "pipeline"},
        "another seed": {"seed": 1},
        "guided": {"guidance": 3},
        "overlap": {"overlap": 3},
        "reference": {"reference_frame": 12},
    }.items():
        out = tmp_path / name / "video.mp4"
        assert generate(out=out, frames=8, **arguments).code == 0
        written[name] = out.read_bytes()
    first = written.pop("first")
    assert written.pop("again") == written.pop("by its pipeline") == first
    assert len({first, *written.values()}) == 1 + len(written)


def test_it_says_what_was_made_and_where_to_look(generate, tmp_path: Path) -> None:
    said = generate(frames=4)
    assert said.err == ""
    first, second, third = said.out.splitlines()
    assert first.startswith(f"{tmp_path / 'video.mp4'}: 4 frames of 48x32 at 15000/1001 fps, 2 people, 2 steps in ")
    assert second == f"  motion {KEY}; looks frame 3 of {KEY}"
    assert third == f"  look at it: {tmp_path / 'video.side-by-side.mp4'}"


def reference_of(path: Path) -> np.ndarray:
    """The first column's picture in a side-by-side video."""
    frame = pixels(path)[0]
    return frame[-HEIGHT:, 8 : 8 + HEIGHT * 3 // 2]


def test_a_picture_for_the_reference_image(generate, tmp_path: Path) -> None:
    picture = tmp_path / "red.png"
    Image.new("RGB", (300, 200), (200, 30, 30)).save(picture)
    said = generate(frames=4, reference=picture)
    assert said.code == 0
    assert f"looks {picture}" in said.out
    assert np.abs(reference_of(tmp_path / "video.side-by-side.mp4").mean(axis=(0, 1)) - (200, 30, 30)).max() < 6
    before = pixels(tmp_path / "video.mp4")
    assert generate(frames=4).code == 0
    assert (pixels(tmp_path / "video.mp4") != before).any()


@pytest.mark.parametrize(
    ("arguments", "who"),
    [
        ({"reference_key": LOOKS}, {"0": 0, "1": 2}),
        ({"reference_key": LOOKS, "who": "0=2,1=1", "align": "together", "reference_frame": 5}, {"0": 2, "1": 1}),
        ({"who": "0=1,1=0", "align": "none"}, {"0": 1, "1": 0}),
        ({"reference_key": LOOKS, "who": "1=0"}, {"1": 0}),
    ],
    ids=["from left to right", "named, together", "they swap looks", "one of two"],
)
def test_motion_of_one_and_looks_of_another(generate, arguments, who, tmp_path: Path) -> None:
    said = generate(frames=4, json=True, **arguments)
    assert said.code == 0
    made = said.plain
    assert made["who"] == who
    assert made["people"] == len(who)
    assert made["reference"]["key"] == arguments.get("reference_key", KEY)
    assert made["reference"]["frame"] == arguments.get("reference_frame", 3)
    assert clip_facts(tmp_path / "video.mp4").frames == 4


def test_people_are_moved_as_asked(generate, tmp_path: Path) -> None:
    written = set()
    for align in ("each", "together", "none"):
        assert generate(frames=4, reference_key=LOOKS, align=align).code == 0
        written.add((tmp_path / "video.mp4").read_bytes())
    assert len(written) == 3


def test_whose_faces_a_picture_shows_is_not_known(shards: Path) -> None:
    one = clip_example(shards, KEY, size=SIZE, frames=2)
    one["embedding"] = np.ones_like(one["embedding"])
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    other = with_picture(one, picture)
    assert np.array_equal(np.moveaxis(other["reference"], 0, -1), picture)
    assert not other["embedding"].any()
    same = one.keys() - {"reference", "embedding"}
    assert all(np.array_equal(one[name], other[name]) for name in same)
    with pytest.raises(ValueError, match=r"reference: want \(32, 48, 3\) uint8, got \(48, 32, 3\)"):
        with_picture(one, picture.swapaxes(0, 1))


def test_looks_from_another_dataset(generate, shards: Path, tmp_path: Path) -> None:
    alone = judged(Store(root=str(tmp_path / "store")), [CLIP])
    build(alone, tmp_path / "alone", Config(val_fraction=0, test_fraction=0))
    said = generate(frames=4, json=True, shards=tmp_path / "alone", reference_shards=shards, reference_key=LOOKS)
    assert said.plain["who"] == {"0": 0, "1": 2}
    # One sample needs no key.
    assert generate(frames=4, json=True, shards=tmp_path / "alone", key=None).plain["key"] == KEY
    said = generate(frames=4, shards=tmp_path / "alone", reference_key=LOOKS)
    assert said.code == 2
    assert said.err.startswith(f"error: {LOOKS}: want the key of a sample in ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"shards": None}, "the following arguments are required: --shards"),
        ({"key": None}, f"want a key, got none and 2 samples; there are {LOOKS}, {KEY}"),
        ({"shards": "nowhere"}, "--shards nowhere: want a dataset folder or a shard, got no such path"),
        ({"reference_shards": "nowhere"}, "--reference-shards nowhere: want a dataset folder"),
        ({"out": "video.avi"}, "--out video.avi: want a name that ends in .mp4"),
        ({"checkpoint": "nowhere"}, "--checkpoint nowhere: want a run's folder, got no such folder"),
        ({"key": "nobody"}, "nobody: want the key of a sample in "),
        ({"frames": 21}, "want 1..10 frames (from 0 on, stride 2), got 21"),
        ({"stride": 30, "frames": 2}, "want 1..1 frames (from 0 on, stride 30), got 2"),
        ({"steps": 0}, "steps: want at least 1, got 0"),
        ({"seed": -1}, "--seed: want 0 or more, got -1"),
        ({"overlap": 4}, "overlap: want 0 or more and fewer than a window's 4 frames, got 4"),
        ({"device": "abacus"}, "--device abacus: "),
        ({"device": "cuda:99"}, "--device cuda:99: want one of "),
        ({"reference": "no.png"}, "no.png: want a picture, got FileNotFoundError"),
        ({"reference_frame": 20}, "want a reference frame within 0..19, got 20"),
        ({"who": "0-1"}, "argument --who: want PERSON=DOUBLE,..., such as 0=1,1=0, got '0-1'"),
        ({"who": "0=1,0=0"}, "argument --who: want each person once, got '0=1,0=0'"),
        ({"who": "0=7"}, "want people 0..1, got 7"),
        ({"key": LOOKS, "reference_key": KEY}, "want a reference with 3 people seen, got 2; say who is who"),
        ({"precision": "fp8"}, "argument --precision: invalid choice"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(generate, arguments, said, tmp_path: Path) -> None:
    found = generate(**arguments)
    assert found.code == 2
    assert found.out == ""
    assert found.err.startswith("error: ")
    assert said in found.err
    assert found.err.count("\n") == 1
    assert files(tmp_path) == []


@pytest.mark.parametrize("damage", ["weights", "configuration"])
def test_a_damaged_run_is_named(generate, run: Path, tmp_path: Path, damage: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    file = {"weights": "pipeline/network/diffusion_pytorch_model.safetensors", "configuration": "config.json"}[damage]
    (broken / file).write_bytes((broken / file).read_bytes()[:100])
    found = generate(checkpoint=broken)
    assert found.code == 2
    assert str(broken) in found.err
    assert found.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in found.err
    assert files(tmp_path) == ["broken"]


def test_a_damaged_shard_is_named(generate, shards: Path, tmp_path: Path) -> None:
    shutil.copytree(shards, tmp_path / "bad")
    shard = next((tmp_path / "bad" / "shards").glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:2000])
    found = generate(shards=tmp_path / "bad")
    assert found.code == 1
    assert shard.name in found.err
    assert KEY in found.err
    assert files(tmp_path) == ["bad"]


def test_too_little_memory_is_said(generate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 99 GiB")

    monkeypatch.setattr(TogetherVideoPipeline, "__call__", full)
    found = generate()
    assert (found.code, found.out, files(tmp_path)) == (1, "", [])
    assert found.err.startswith("error: CUDA out of memory. Tried to allocate 99 GiB; --precision bf16")
    assert found.err.count("\n") == 1


def test_a_network_in_half_precision_generates_too(generate, tmp_path: Path) -> None:
    assert generate(frames=4, precision="bf16").code == 0
    half = pixels(tmp_path / "video.mp4").astype(int)
    assert generate(frames=4).code == 0
    assert 0 < np.abs(half - pixels(tmp_path / "video.mp4")).mean() < 5


def test_ablations_generate_too(generate, shards: Path, tmp_path: Path) -> None:
    for at, changes in enumerate(({"masks": False}, {"adapter": False}, {"poses": False, "faces": False})):
        network = replace(NETWORK, **changes)
        TogetherVideoPipeline.of(DuetUNet.of(network), build_codec(network.codec)).save_pretrained(tmp_path / str(at))
        assert generate(checkpoint=tmp_path / str(at), frames=2, steps=1).code == 0
