"""What TogetherVideoBench measures: lining up, people through a cut, pictures, joints, Fréchet distance, networks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

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


def noisy_pair(rng: np.random.Generator, size: tuple[int, int] = (40, 56)) -> tuple[np.ndarray, np.ndarray]:
    real = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    return np.clip(real + rng.normal(0, 30, real.shape), 0, 255).astype(np.uint8), real


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


def frames(count: int, seed: int = 0, size: tuple[int, int] = (48, 64)):
    """(made, real, mask) of each frame."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        made, real = noisy_pair(rng, size)
        mask = np.zeros(size, bool)
        mask[8:40, 10:30] = True
        yield made, real, mask


def test_lpips_is_its_formula_over_the_backbone_of_the_file(tmp_path: Path):
    torch = pytest.importorskip("torch")
    import torchvision
    from torchmetrics.functional.image import lpips as module

    from tasks.backends.video_features import feature_source, measure

    torch.manual_seed(0)
    backbone = torchvision.models.alexnet(weights=None).eval()
    torch.save(backbone.state_dict(), tmp_path / "alex.pth")
    source = feature_source(f"lpips=alex:{tmp_path / 'alex.pth'}")
    pairs = list(frames(2, size=(64, 80)))
    found = measure(source, [*pairs, (pairs[0][1], pairs[0][1], pairs[0][2])], "cpu")["lpips"]
    heads = torch.load(Path(module.__file__).parent / "lpips_models/alex.pth", map_location="cpu", weights_only=True)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def layers(picture: np.ndarray):
        x = (torch.from_numpy(picture).float() / 127.5 - 1 - shift) / scale
        x, out = x.permute(2, 0, 1)[None], []
        with torch.no_grad():
            for i, layer in enumerate(backbone.features):
                x = layer(x)
                if i in (1, 4, 7, 9, 11):
                    out.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-8))
        return out

    for (made, real, _), got in zip(pairs, found, strict=False):
        want = sum(
            float(torch.nn.functional.conv2d((a - b).square(), heads[f"lin{i}.model.1.weight"]).mean())
            for i, (a, b) in enumerate(zip(layers(made), layers(real), strict=True))
        )
        assert got == pytest.approx(want, rel=1e-3)
    assert found[2] == 0


def scripted(path: Path) -> Path:
    """A TorchScript network of I3D's interface: mean and spread of each colour, as 6 features."""
    torch = pytest.importorskip("torch")

    class Colours(torch.nn.Module):
        def forward(self, video, rescale: bool = True, resize: bool = True, return_features: bool = False):
            assert not rescale
            assert not resize
            assert return_features
            assert video.shape[2] == 16
            assert video.shape[3] == 224
            assert video.shape[4] == 224
            flat = video.flatten(2)
            return torch.cat([flat.mean(2), flat.std(2)], 1)

    torch.jit.script(Colours()).save(str(path))
    return path


def test_fvd_sees_whole_pieces_of_sixteen_frames(tmp_path: Path):
    from tasks.backends.video_features import feature_source, measure

    source = feature_source(f"fvd=i3d:{scripted(tmp_path / 'i3d.pt')}")
    out = measure(source, frames(37), "cpu")
    assert {name: value.shape for name, value in out.items()} == dict.fromkeys(
        ("real", "made", "masked_real", "masked_made"), (2, 6)
    )
    pairs = list(frames(16))
    want = np.stack([real for _, real, _ in pairs])[:, :, 8:56].mean((0, 1, 2)) / 127.5 - 1
    assert np.abs(out["real"][0, :3] - want).max() < 0.02, "-1 .. 1, the middle square"
    for side, at in (("real", 1), ("made", 0)):
        black = np.stack([pair[at] * pair[2][..., None] for pair in pairs])[:, :, 8:56].mean((0, 1, 2)) / 127.5 - 1
        assert np.abs(out[f"masked_{side}"][0, :3] - black).max() < 0.02, "black elsewhere"
    assert measure(source, frames(15), "cpu")["made"].shape == (0, 0)


def test_fid_has_a_row_a_frame(tmp_path: Path):
    torch = pytest.importorskip("torch")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from tasks.backends.video_features import feature_source, measure

    torch.manual_seed(0)
    shapes = torch.load(inception_shapes(tmp_path), weights_only=True)
    network = FeatureExtractorInceptionV3("one", ["2048"], feature_extractor_weights_path=str(tmp_path / "w.pth"))
    source = feature_source(f"fid=inception:{tmp_path / 'w.pth'}")
    pairs = list(frames(3))
    out = measure(source, pairs, "cpu")
    assert out["made"].shape == out["masked_real"].shape == (3, 2048)
    batch = torch.from_numpy(np.stack([made for made, _, _ in pairs])).permute(0, 3, 1, 2)
    assert np.allclose(out["made"], network(batch)[0].numpy(), rtol=1e-4, atol=1e-5)
    assert len(shapes) > 500


def inception_shapes(folder: Path) -> Path:
    """Random weights in torch-fidelity's own layout."""
    import torch
    from torch_fidelity import feature_extractor_inceptionv3 as module

    class Blank(module.FeatureExtractorInceptionV3):
        def load_state_dict(self, state, *arguments, **named):
            return None

    torch.save({}, folder / "none.pth")
    blank = Blank("one", ["2048"], feature_extractor_weights_path=str(folder / "none.pth"))
    torch.save(blank.state_dict(), folder / "w.pth")
    return folder / "w.pth"


def test_a_video_too_small_for_a_network_is_told():
    from tasks.backends.video_features import FeatureError, FeatureSource, check_size

    lpips, fid = (FeatureSource(metric=m, network="any", path="w.pth", sha256="0" * 64) for m in ("lpips", "fid"))
    check_size(lpips, (64, 80), "a.mp4")
    check_size(fid, (32, 32), "a.mp4")
    with pytest.raises(FeatureError, match=r"a\.mp4: want 64 pixels a side or more for --features lpips.*got 80x48"):
        check_size(lpips, (48, 80), "a.mp4")


FEATURES = [
    pytest.param("lpips", ["METRIC=NETWORK:PATH"], id="no network"),
    pytest.param("clip=vit:w.pth", ["one of lpips, fid, fvd", "'clip'"], id="no such metric"),
    pytest.param("lpips=resnet:w.pth", ["lpips wants one of alex, vgg, squeeze"], id="no such network"),
    pytest.param("fid=inception:nowhere.pth", ["torch-fidelity", "no such file: nowhere.pth"], id="no file"),
    pytest.param("fvd=i3d:text.pt", ["StyleGAN-V", "got a file that is none"], id="no network in it"),
    pytest.param("lpips=alex:text.pt", ["torchvision", "got a file that is none"], id="no weights in it"),
    pytest.param("lpips=alex:other.pt", ["torchvision", "features.0.weight"], id="other weights"),
]


@pytest.mark.parametrize(("text", "said"), FEATURES)
def test_a_network_that_cannot_be_had_says_why(tmp_path, monkeypatch, text, said):
    torch = pytest.importorskip("torch")
    from tasks.backends.video_features import FeatureError, feature_source

    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pt").write_text("hello")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(FeatureError) as told:
        feature_source(text)
    assert str(told.value).startswith("--features ")
    assert "want" in str(told.value)
    for words in said:
        assert words in str(told.value)
    assert "\n" not in str(told.value)
