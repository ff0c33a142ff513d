"""TogetherVideoBench's networks: LPIPS, FID and FVD over the weights of a file, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.noisy_pictures import noisy_pair


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
