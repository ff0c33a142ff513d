"""Run lengths and folders of PNG from outside: what is taken, and what is said of what is not."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from datasets.masks import encode_rle
from datasets.perception import PerceptionError, Place
from datasets.perception_masks import ids_of, read_masks
from datasets.perception_rle import checked_counts, run_lengths
from tests.perception_files import QUICK, disc, rle


@QUICK
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_run_lengths_are_those_of_pycocotools(height, width, seed, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    object_ = rle(mask)
    runs = run_lengths(object_["counts"].encode(), Place("x.json"))
    assert runs.sum() == height * width
    assert checked_counts(object_, (height, width), Place("x.json")) == encode_rle(mask, (height, width))
    listed = {"size": [height, width], "counts": runs.tolist()}
    assert checked_counts(listed, (height, width), Place("x.json")) == encode_rle(mask, (height, width))


@QUICK
@given(st.binary(max_size=60))
def test_any_bytes_are_run_lengths_or_an_error(data):
    try:
        counts = checked_counts({"size": [6, 7], "counts": data}, (6, 7), Place("x.json"))
    except PerceptionError:
        return
    # What is let through must be safe for pycocotools, which writes as many pixels as it is told.
    decoded = coco.decode({"size": [6, 7], "counts": counts}) if counts else np.zeros((6, 7))
    assert decoded.shape == (6, 7)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param({"size": [2, 2], "counts": [1, 4]}, r"runs that add up to 2 \* 2 pixels, got 5", id="too long"),
        pytest.param({"size": [2, 2], "counts": [1, 2]}, r"runs that add up to 2 \* 2 pixels, got 3", id="too short"),
        pytest.param({"size": [2, 2], "counts": [-1, 5]}, r"run lengths of 0 or more", id="negative"),
        pytest.param({"size": [2, 2], "counts": [1.5, 2.5]}, r"run lengths of 0 or more", id="halves"),
        pytest.param({"size": [2, 2], "counts": [True, 3]}, r"run lengths of 0 or more", id="a truth for a number"),
        pytest.param({"size": [2, 2], "counts": [2**70]}, r"run lengths of 0 or more", id="beyond any integer"),
        pytest.param({"size": [2, 3], "counts": [6]}, r"size: want \[h, w\] = \[2, 2\]", id="another size"),
        pytest.param({"size": [2, 2], "counts": "PPPPPPPPP1"}, r"at most 7 characters", id="a run without end"),
        pytest.param({"size": [2, 2], "counts": "P"}, r"whole run lengths", id="cut short"),
        pytest.param({"size": [2, 2], "counts": "4é"}, r"characters of COCO", id="no such characters"),
        pytest.param({"size": [2, 2], "counts": "z"}, r"characters of COCO", id="no such character"),
        pytest.param({"size": [2, 2], "counts": None}, r"text or a list", id="nothing"),
        pytest.param([[1, 1, 2, 2, 1, 2]], r"polygons are not taken", id="a polygon"),
    ],
)
def test_run_lengths_refuse(value, said):
    with pytest.raises(PerceptionError, match=said):
        checked_counts(value, (2, 2), Place("x.json"))


def masks_folder(tmp_path: Path, files: dict[str, np.ndarray | bytes]) -> Path:
    folder = tmp_path / "clip.masks"
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            Image.fromarray(content).save(path, "PNG")
    return folder


LIT = disc().astype(np.uint8) * np.uint8(255)


def test_png_folders_are_people(tmp_path):
    files = {"02/frame_0.png": LIT, "02/frame_3.png": LIT // 255, "01/000000.png": LIT * 0, "01/3.PNG": disc()}
    masks = read_masks(masks_folder(tmp_path, {**files, "01/.DS_Store": b"x"}))
    assert list(zip(masks.frame.tolist(), masks.id.tolist(), strict=True)) == [(0, 2), (3, 1), (3, 2)]
    assert all((masks.mask.decode(i) == disc()).all() for i in range(3))
    assert masks.annotated.tolist() == [0, 3]
    assert masks.names == {"1": "01", "2": "02"}


def test_png_colours_and_palettes(tmp_path):
    palette = Image.fromarray(disc().astype(np.uint8) * np.uint8(5), "P")
    palette.putpalette([0, 0, 0] * 256)
    folder = masks_folder(tmp_path, {"her/0.png": np.stack([LIT, LIT * 0, LIT * 0], axis=2), "him/0.png": LIT})
    palette.save(folder / "him" / "0.png")
    masks = read_masks(folder)
    assert masks.names == {"1": "her", "2": "him"}
    assert all((masks.mask.decode(i) == disc()).all() for i in range(2))


def test_names_of_numbers_are_ids_only_when_all_are():
    assert ids_of(["1", "01"]) == {"01": 1, "1": 2}
    assert ids_of(["7", "anna"]) == {"7": 1, "anna": 2}


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header says more pixels than any video has."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def cut_short() -> bytes:
    good, data = cv2.imencode(".png", np.random.default_rng(0).integers(0, 2, (12, 16), np.uint8))
    assert good
    return data.tobytes()[:60]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        pytest.param({"notes.txt": b"x"}, "notes.txt: want a folder a person", id="a file among the people"),
        pytest.param(
            {"1/notes.txt": b"x"}, "clip.masks/1/notes.txt: want PNG files only", id="a file among the frames"
        ),
        pytest.param({"1/front.png": LIT}, "1/front.png: want a name that ends in the frame", id="no frame"),
        pytest.param({"1/1.png": LIT, "1/01.png": LIT}, "frame 1 twice", id="a frame twice"),
        pytest.param(
            {"1/0.png": LIT, "2/0.png": LIT[:, :8]}, r"2/0.png: want \(h, w\) = \(12, 16\)", id="another size"
        ),
        pytest.param({"1/0.png": b"no picture"}, "1/0.png: want a PNG, got one that cannot be read", id="no PNG"),
        pytest.param({"1/0.png": bomb(60000, 60000)}, "1/0.png: want", id="a bomb"),
        pytest.param({"1/0.png": cut_short()}, "1/0.png: want a PNG", id="cut short"),
        pytest.param({"1/0.png": np.stack([LIT] * 4, axis=2)}, "got RGBA; save it without alpha", id="alpha"),
        pytest.param({"1/0.png": np.arange(192, dtype=np.uint8).reshape(12, 16)}, "want two values", id="grey levels"),
    ],
)
def test_png_refuses(tmp_path, files, said):
    with pytest.raises(PerceptionError, match=said) as error:
        read_masks(masks_folder(tmp_path, files))
    assert str(tmp_path) not in str(error.value)


def test_png_refuses_an_empty_folder(tmp_path):
    (tmp_path / "clip.masks" / "1").mkdir(parents=True)
    with pytest.raises(PerceptionError, match="want a PNG a frame, got an empty folder"):
        read_masks(tmp_path / "clip.masks")


@QUICK
@given(st.binary(max_size=80), st.integers(0, 90))
def test_damaged_png(tmp_path, data, at):
    folder = masks_folder(tmp_path, {"1/0.png": LIT})
    whole_file = (folder / "1" / "0.png").read_bytes()
    (folder / "1" / "0.png").write_bytes(whole_file[:at] + data + whole_file[at + len(data) :])
    try:
        masks = read_masks(folder)
    except PerceptionError:
        return
    assert masks.mask.size[0] <= 16384
