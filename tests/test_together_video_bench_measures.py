"""What TogetherVideoBench measures: lining up, people through a cut, pictures, joints, Fréchet distance."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.linalg import sqrtm

from datasets.masks import Masks
from datasets.records import People
from datasets.view import view_of
from tasks.ops.frechet import frechet_distance
from tasks.ops.line_up import line_up
from tasks.ops.picture_quality import quality, ssim_map
from tasks.ops.pose_coherence import heat_map, joint_distance, pose_ssim, similarity
from tasks.ops.seen_through import seen_through
from tests.build_samples import drawn
from tests.noisy_pictures import noisy_pair

REAL = (100, Fraction(30), (96, 128))

LINED = [
    pytest.param((100, Fraction(30), (96, 128)), 100, 99, [], id="the same"),
    pytest.param((40, Fraction(30), (96, 128)), 40, 39, ["the first 40 of 100"], id="shorter"),
    pytest.param((120, Fraction(30), (96, 128)), 100, 99, ["20 frames past the clip's end"], id="longer"),
    pytest.param((25, Fraction(15, 2), (96, 128)), 25, 96, ["7.5 frames a second beside 30: by time"], id="every 4th"),
    pytest.param((200, Fraction(60), (96, 128)), 199, 99, ["60 frames a second"], id="twice as many"),
    pytest.param((100, Fraction(30), (48, 64)), 100, 99, ["64x48 beside 128x96"], id="smaller"),
    pytest.param((100, Fraction(30), (64, 64)), 100, 99, ["the middle 75%"], id="the middle square"),
]
REFUSED = [
    pytest.param((100, Fraction(30), (12, 16)), "16 pixels a side or more, got 16x12", id="too small"),
    pytest.param((100, Fraction(30), (128, 32)), "about the shape of 128x96", id="another shape"),
    pytest.param((1, Fraction(30), (96, 128)), "2 frames or more", id="one frame"),
]


@pytest.mark.parametrize(("made", "frames", "last", "said"), LINED)
def test_frames_stand_beside_those_of_their_time(made, frames, last, said):
    lined = line_up(REAL, made, "a.mp4")
    assert len(lined.frame) == frames
    assert lined.frame[0] == 0
    assert lined.frame[-1] == last
    moments = np.arange(frames) / float(made[1])
    assert np.abs(lined.frame / 30 - moments).max() <= 0.5 / 30 + 1e-9, "never more than half a frame off"
    for words in said:
        assert words in "; ".join(lined.notes)
    assert bool(lined.notes) == bool(said)


@pytest.mark.parametrize(("made", "said"), REFUSED)
def test_what_cannot_be_lined_up_says_why(made, said):
    with pytest.raises(ValueError, match=f"^a.mp4: want .*{said}"):
        line_up(REAL, made, "a.mp4")


def people(frames: int = 6) -> People:
    return drawn(2, frames, (96, 128), 0)[0]


def test_the_whole_picture_shows_everybody_as_they_are():
    who = people()
    seen = seen_through(who, view_of((96, 128), (96, 128), "crop"), np.array([1, 4]))
    assert np.array_equal(seen.keypoint, who.keypoint[:, [1, 4]])
    assert np.array_equal(seen.visible, who.visible[:, [1, 4]])
    assert np.array_equal(seen.mask_at(1, 1), who.mask_at(1, 4))


def test_poses_and_boxes_stay_on_masks_through_a_cut():
    who = people()
    seen = seen_through(who, view_of((96, 128), (192, 192), "crop"), np.arange(6))
    assert seen.mask.size == (192, 192)
    for p in range(2):
        for t in range(6):
            mask = seen.mask_at(p, t)
            if not mask.any():
                assert not seen.present[p, t]
                continue
            y, x = np.nonzero(mask)
            assert np.abs(seen.box[p, t] - [x.min(), y.min(), x.max() + 1, y.max() + 1]).max() <= 3
    outside = (seen.keypoint[..., 0] < 0) | (seen.keypoint[..., 0] >= 192)
    assert outside.any(), "somebody walks at the edge"
    assert (seen.flag[outside] == 0).all()


def test_who_is_half_cut_off_is_half_to_be_seen():
    lit = np.zeros((40, 80), bool)
    lit[10:30, 10:30] = True  # of a cut from x = 20 on, half remains
    base = people(1)
    one = People(
        box=np.array([[[10, 10, 30, 30]]], np.float32), keypoint=base.keypoint[:1], score=base.score[:1],
        flag=base.flag[:1], mask=Masks.encode([lit], size=(40, 80)), present=np.ones((1, 1), bool),
        visible=np.full((1, 1), 0.8, np.float32), confidence=np.ones((1, 1), np.float32), skeleton=base.skeleton,
        events=(),
    )  # fmt: skip
    seen = seen_through(one, view_of((40, 80), (40, 40), "crop"), np.array([0]))
    assert seen.visible[0, 0] == pytest.approx(0.4)
    assert seen.box[0, 0].tolist() == [0, 10, 10, 30]
    gone = seen_through(one, view_of((40, 80), (40, 16), "crop"), np.array([0]))
    assert not gone.present[0, 0]


def test_picture_figures_are_those_of_torchmetrics():
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    made, real = noisy_pair(np.random.default_rng(0))
    a, b = (torch.from_numpy(some).permute(2, 0, 1)[None].double() for some in (made, real))
    psnr, ssim, l1 = quality(made, real)
    assert psnr == pytest.approx(float(peak_signal_noise_ratio(a, b, data_range=255.0)), abs=1e-4)
    assert ssim == pytest.approx(float(structural_similarity_index_measure(a, b, data_range=255.0)), abs=1e-4)
    assert l1 == pytest.approx(float((a - b).abs().mean()) / 255, abs=1e-6)


def test_masked_figures_see_the_mask_alone():
    made, real = noisy_pair(np.random.default_rng(1))
    where = np.zeros(real.shape[:2], bool)
    where[5:35, 8:30] = True
    elsewhere = made.copy()
    elsewhere[:, 42:] = 0
    assert quality(made, real, where) == quality(elsewhere, real, where)
    assert quality(made, real) != quality(elsewhere, real)
    equal = made.copy()
    equal[where] = real[where]
    assert quality(equal, real, where)[0] == 100.0
    assert quality(equal, real, where)[2] == 0
    assert all(np.isnan(value) for value in quality(made, real, np.zeros_like(where)))
    assert quality(real, real) == (100.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="of one size"):
        quality(made[:20], real)


def test_similar_structure_is_symmetric_and_at_most_one():
    made, real = noisy_pair(np.random.default_rng(2))
    assert np.allclose(ssim_map(made, real), ssim_map(real, made), atol=1e-5)
    assert ssim_map(made, real).max() <= 1 + 1e-5


def test_the_frechet_distance_is_the_closed_form():
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)), 1 + rng.normal(size=(300, 6)) * [1, 2, 3, 1, 1, 1]
    s1, s2 = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
    root = sqrtm(s1 @ s2).real
    want = np.square(real.mean(0) - made.mean(0)).sum() + np.trace(s1 + s2 - 2 * root)
    assert frechet_distance(real, made) == pytest.approx(want, rel=1e-9)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-6)


def test_fewer_samples_than_features_are_exact_too():
    # Two points a set, on one line: the distance of two Gaussians in one dimension, (m1 - m2)^2 + (s1 - s2)^2.
    line = np.ones((1, 50)) / np.sqrt(50)
    real, made = np.array([[0.0], [2.0]]) @ line, np.array([[3.0], [9.0]]) @ line
    want = (6 - 1) ** 2 + (np.sqrt(18) - np.sqrt(2)) ** 2
    assert frechet_distance(real, made) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize(
    ("real", "made"),
    [
        pytest.param(np.zeros((1, 3)), np.zeros((5, 3)), id="one sample"),
        pytest.param(np.zeros((5, 3)), np.zeros((5, 4)), id="other widths"),
        pytest.param(np.zeros((5, 3)), np.full((5, 3), np.nan), id="not finite"),
    ],
)
def test_features_that_have_no_distance_are_refused(real, made):
    with pytest.raises(ValueError, match="frechet distance: want"):
        frechet_distance(real, made)


def test_joints_of_who_is_not_found_have_no_distance():
    truth = np.zeros((2, 17, 2))
    found = np.stack([truth[0] + [3.0, 4.0], np.full((17, 2), np.inf)])
    known = np.ones((2, 17), bool)
    known[0, 3] = False
    away = joint_distance(found, truth, known)
    assert np.nanmean(away) == pytest.approx(5.0)
    assert np.isfinite(away).sum() == 16


def test_a_similarity_is_found_again():
    rng = np.random.default_rng(3)
    points = rng.normal(size=(30, 2)) * 50
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    moved = 1.7 * points @ turn.T + [20, -8]
    found = similarity(points, moved)
    assert np.allclose(points @ found[:, :2].T + found[:, 2], moved)
    mirrored = similarity(points, points * [-1, 1])
    assert np.linalg.det(mirrored[:, :2]) > 0, "a mirror image is not undone"
    assert np.array_equal(similarity(points[:1], moved[:1]), np.eye(2, 3))


def test_poses_alike_but_for_a_shift_are_alike_and_others_are_not():
    rng = np.random.default_rng(4)
    truth = [rng.uniform(20, 100, (34, 2)) for _ in range(3)]
    turn = 0.9 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    shifted = [points @ turn.T + np.array([12, 7]) for points in truth]
    transform = similarity(np.concatenate(shifted), np.concatenate(truth))
    alike, alike_near = pose_ssim(zip(shifted, truth, strict=True), (128, 128), transform)
    assert alike.shape == alike_near.shape == (3,)
    assert min(alike.min(), alike_near.min()) > 0.999
    plain, plain_near = pose_ssim(zip(shifted, truth, strict=True), (128, 128), np.eye(2, 3))
    assert plain.max() < 0.9
    assert (plain_near < plain).all()


def test_a_picture_of_nobody_is_like_one_of_somebody_but_where_they_stand():
    nobody, someone = np.zeros((0, 2)), np.random.default_rng(5).uniform(200, 300, (17, 2))
    whole, near = pose_ssim([(nobody, someone), (someone, nobody)], (512, 512), np.eye(2, 3))
    assert whole.min() > 0.9, "what the empty background gives"
    assert near.max() < 0.3
    whole, near = pose_ssim([(nobody, nobody)], (64, 64), np.eye(2, 3))
    assert whole[0] == pytest.approx(1.0)
    assert np.isnan(near[0])


def test_a_heat_map_is_the_greatest_gaussian():
    points = np.array([[20.5, 30.5], [26.5, 30.5], [-500.0, 3.0], [63.9, 0.0]])
    drawn_map = heat_map(points, (64, 64))
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    whole = np.exp(-((x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2) / 32).max(-1)
    assert np.abs(drawn_map - whole).max() < 4e-4, "four sigmas are enough"
