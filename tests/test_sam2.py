"""SAM 2 in bounded memory: the stock predictor's masks, on a randomly initialised network, and flat memory."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from sam2.build_sam import build_sam2_video_predictor

from datasets.masks import Masks
from datasets.video import VideoWriter
from tasks.backends.logit_file import LogitFile
from tasks.backends.sam2 import BoundedPredictor, ClipFrames, Sam2, predictor
from tasks.ops.drift import drifted
from tasks.ops.mask_ops import box_of
from tasks.ops.prompts import prompts_of
from tests.draw_tracks import SIZE, Figure, draw, picture, walk
from tests.tiny_sam2 import IMAGE_SIZE, tiny_sam2_checkpoint

NAME = "sam2.1-hiera-tiny"
BOXES = {7: (20, 30, 60, 70), 9: (70, 30, 110, 60)}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sam2_checkpoint(tmp_path_factory.mktemp("sam2") / "sam2.1_hiera_tiny.pt")


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> BoundedPredictor:
    return predictor(NAME, IMAGE_SIZE, str(checkpoint), "cpu", 1)


@pytest.fixture(scope="module")
def stock(checkpoint: Path) -> Any:
    """Meta's own predictor with the same parameters."""
    extra = [f"++model.image_size={IMAGE_SIZE}", "++model.fill_hole_area=0"]
    config = "configs/sam2.1/sam2.1_hiera_t.yaml"
    return build_sam2_video_predictor(config, str(checkpoint), device="cpu", hydra_overrides_extra=extra)


def write_frames(folder: Path, frames: int) -> None:
    """JPEG files as the stock predictor takes them: two discs that move before a blurred wall."""
    base = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (96, 120, 3), dtype=np.uint8), (0, 0), 5)
    for t in range(frames):
        image = np.roll(base, 3 * t, 1).copy()
        cv2.circle(image, (30 + 2 * t, 50), 14, (255, 0, 0), -1)
        cv2.circle(image, (100 - 2 * t, 40), 10, (0, 255, 0), -1)
        cv2.imwrite(str(folder / f"{t:05d}.jpg"), image)


def prompt(model: Any, state: dict[str, Any], frame: int, names: list[int]) -> None:
    """A box and a point for each object."""
    for name in names:
        box = np.array(BOXES[name], np.float32)
        point = ((box[:2] + box[2:]) / 2)[None]
        model.add_new_points_or_box(state, frame, name, points=point, labels=np.array([1], np.int32), box=box)


@pytest.mark.parametrize(
    ("frames", "start", "names"),
    [
        pytest.param(6, 3, [7, 9], id="two objects, forward and backward, nothing to forget"),
        pytest.param(20, 18, [7], id="longer than memory reaches: what was forgotten would not have counted"),
    ],
)
def test_logits_equal_the_stock_predictors(
    model: BoundedPredictor, stock: Any, tmp_path: Path, frames: int, start: int, names: list[int]
) -> None:
    write_frames(tmp_path, frames)
    state = stock.init_state(str(tmp_path))
    prompt(stock, state, start, names)
    wanted = {}
    for reverse in (False, True):
        for t, ids, logits in stock.propagate_in_video(state, reverse=reverse):
            wanted.update({(t, name): logits[i, 0].numpy() for i, name in enumerate(ids)})
    ours = model.session(state["images"], (96, 120))
    prompt(model, ours, start, names)
    got = {}
    for reverse, last in ((False, frames - 1), (True, 0)):
        for t, i, logits, _ in model.follow(ours, [last] * len(names), reverse=reverse):
            whole = torch.nn.functional.interpolate(logits[None, None], (96, 120), mode="bilinear", align_corners=False)
            got[t, names[i]] = whole[0, 0].numpy()
    assert got.keys() == wanted.keys()
    assert max(np.abs(got[key] - wanted[key]).max() for key in wanted) < 1e-4
    assert 0.02 < np.mean([(logits > 0).mean() for logits in wanted.values()]) < 0.98, "all or nothing proves nothing"


def test_backward_from_the_latest_prompt_equals_the_stock_predictor(
    model: BoundedPredictor, stock: Any, tmp_path: Path
) -> None:
    """Two prompted frames: the way back begins at the later one, and both condition it."""
    write_frames(tmp_path, 12)
    state = stock.init_state(str(tmp_path))
    ours = model.session(state["images"], (96, 120))
    for t in (2, 9):
        prompt(stock, state, t, [7])
        prompt(model, ours, t, [7])
    wanted = {t: logits[0, 0] for t, _, logits in stock.propagate_in_video(state, start_frame_idx=9, reverse=True)}
    got = {t: logits for t, _, logits, _ in model.follow(ours, [0], reverse=True, newest=True)}
    assert list(got) == list(range(9, -1, -1)) == list(wanted)
    for t, logits in got.items():
        whole = torch.nn.functional.interpolate(logits[None, None], (96, 120), mode="bilinear", align_corners=False)
        assert (whole[0, 0] - wanted[t]).abs().max() < 1e-4, t


class Endless:
    """Frames without an end, which count how many are alive."""

    def __init__(self, frames: int) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, t: int) -> torch.Tensor:
        return torch.full((3, IMAGE_SIZE, IMAGE_SIZE), np.sin(t / 5), dtype=torch.float32)


def test_what_is_held_does_not_grow_with_the_clip(model: BoundedPredictor) -> None:
    held = []
    for frames in (20, 40):
        state = model.session(Endless(frames), (96, 120))
        prompt(model, state, 0, [7])
        most = 0
        for _ in model.follow(state, [frames - 1], reverse=False):
            outputs = state["output_dict_per_obj"][0]["non_cond_frame_outputs"]
            assert len(state["cached_features"]) <= 4
            assert sum(out["pred_masks"] is not None for out in outputs.values()) <= 1
            most = max(most, len(outputs))
        held.append(most)
    assert held[0] < 20
    assert held[1] <= 2 * (model.reach + 1), "outputs that memory attention cannot reach are kept"


def test_frames_are_decoded_in_short_runs_and_normalised(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, fps=Fraction(25), size=(64, 64), crf=0) as writer:
        for t in range(40):
            writer.write(np.full((64, 64, 3), 5 * t, np.uint8))
    frames = ClipFrames(path, 40, 32)
    for t in (0, 39, 20, 3):
        grey = float(frames[t][0].mean()) * 0.229 + 0.485
        assert grey * 255 == pytest.approx(5 * t, abs=3)
        assert frames[t].shape == (3, 32, 32)
        assert len(frames._held) <= 2


def test_logits_on_disk_keep_their_outline() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (16, 16)).astype(np.float32)
    logits[0, :4] = (0.001, -0.001, 900.0, -1024.0)
    with LogitFile() as file:
        file.put(3, 7, logits * 0, 0.0)
        file.put(3, 7, logits, 2.5)
        file.put(4, 7, -logits, 1.0)
        ((got, score),) = file.at(3).values()
        assert file.at(5) == {}
    assert ((got > 0) == (logits > 0)).all()
    assert np.abs(got - np.clip(logits, -15.9, 15.9)).max() < 0.13
    assert score == 2.5


def test_tracklets_are_carried_beyond_their_ends_and_exclude_each_other(
    model: BoundedPredictor, tmp_path: Path
) -> None:
    frames = 10
    figures = [
        Figure(x=walk(60, 80, frames), pieces=[(2, 7)]),
        Figure(x=walk(140, 120, frames), look=1, pieces=[(0, frames)]),
    ]
    scene, path = draw(figures), tmp_path / "clip.mp4"
    with VideoWriter(path, fps=Fraction(25), size=SIZE) as writer:
        for t in range(frames):
            writer.write(picture(figures, t))
    backend = Sam2(model=model, reach=1, prompts=2)
    rows = list(backend.segment(path, frames, SIZE, scene.tracklets, scene.poses))
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    name = int(scene.tracklets.tracklet[scene.owner == 0][0])
    # A random network may see nothing of one where the other is surer.
    seen = {t for t, one, *_ in rows if one == name}
    assert {1, 7} <= seen <= set(range(1, 8)), "one frame beyond its ends, and not more"
    assert {t for t, one, *_ in rows} == set(range(frames))
    masks = Masks.from_counts((row[3] for row in rows), size=SIZE)
    for t in range(2, 7):
        claims = sum(masks.decode(i).astype(int) for i, row in enumerate(rows) if row[0] == t)
        assert claims.max() == 1
    assert all(0.5 < score <= 1 for *_, score, _ in rows)
    assert rows == list(backend.segment(path, frames, SIZE, scene.tracklets, scene.poses))
    nobody = replace(scene.tracklets, tracklet=np.full_like(scene.tracklets.tracklet, -1))
    assert list(backend.segment(path, frames, SIZE, nobody, scene.poses)) == []


@pytest.mark.parametrize(
    ("boxes", "prompted", "wanted"),
    [
        pytest.param({}, [0], None, id="the mask holds its boxes"),
        pytest.param({6: (0, 0, 30, 30), 7: (100, 30, 130, 110)}, [0], 6, id="it drifts: where it is furthest off"),
        pytest.param({6: (0, 0, 0, 0)}, [0], 6, id="it is lost"),
        pytest.param({6: (0, 0, 0, 0)}, [4], None, id="it was shown just there"),
        pytest.param({18: (0, 0, 0, 0)}, [0], None, id="in contact a box proves nothing"),
    ],
)
def test_drift(boxes: dict[int, tuple[int, ...]], prompted: list[int], wanted: int | None) -> None:
    figures = [
        Figure(x=walk(60, 60, 20), pieces=[(0, 20)]),
        Figure(x=np.concatenate([np.full(15, 150.0), np.full(5, 65.0)]), look=1, pieces=[(0, 20)]),
    ]
    scene = draw(figures)
    rows = np.flatnonzero(scene.owner == 0)
    tight = scene.tracklets.box[rows].copy()
    for t, box in boxes.items():
        tight[t] = box
    row = drifted(rows, scene.tracklets, tight, prompted)
    assert (None if row is None else int(scene.tracklets.frame[row])) == wanted


def test_a_drifting_tracklet_is_shown_again_and_a_holding_one_is_not(model: BoundedPredictor, tmp_path: Path) -> None:
    """A random network drifts from a drawn box; a tracklet whose boxes are its own masks' does not."""
    frames, path = 12, tmp_path / "clip.mp4"
    figures = [Figure(x=walk(60, 80, frames), pieces=[(0, frames)])]
    with VideoWriter(path, fps=Fraction(25), size=SIZE) as writer:
        for t in range(frames):
            writer.write(picture(figures, t))
    scene = draw(figures)
    once = list(
        Sam2(model=model, reach=0, prompts=1, rounds=0).segment(path, frames, SIZE, scene.tracklets, scene.poses)
    )
    again = list(Sam2(model=model, reach=0, prompts=1).segment(path, frames, SIZE, scene.tracklets, scene.poses))
    assert once != again
    masks = Masks.from_counts((row[3] for row in once), size=SIZE)
    own = np.array([box_of(masks.decode(i)) for i in range(len(once))], np.float32)
    held = replace(scene.tracklets, box=own)
    backend = Sam2(model=model, reach=0, prompts=1)
    shown = prompts_of(scene.tracklets, scene.poses, most=1)
    with LogitFile() as kept:
        backend._carry(ClipFrames(path, frames, IMAGE_SIZE), SIZE, shown, scene.tracklets, kept)
        assert backend._shown_again(shown, scene.tracklets, scene.poses, kept, SIZE)
        assert not backend._shown_again(shown, held, scene.poses, kept, SIZE)


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "sam2.1_hiera_tiny.pt"
    torch.save({"model": {"a": torch.zeros(1)}}, path)
    with pytest.raises(ValueError, match=f"{path}: want the checkpoint of {NAME}, got RuntimeError"):
        predictor(NAME, IMAGE_SIZE, str(path), "cpu", 1)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="want the checkpoint"):
        predictor(NAME, IMAGE_SIZE, str(path), "cpu", 1)
