"""model/pipeline.py: examples in, frames out; saved, loaded, repeatable; parts that are missing are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from model.config import CodecConfig, ImageConfig, NetworkConfig  # noqa: E402
from model.image_encoder import build_image_encoder  # noqa: E402
from model.latents import build_codec, build_vae  # noqa: E402
from model.network import DuetUNet  # noqa: E402
from model.pipeline import TogetherVideoPipeline, decode_frames  # noqa: E402
from model.windows import collate_examples  # noqa: E402
from tests.model_inputs import awake, nano  # noqa: E402

torch.set_num_threads(1)
PEOPLE_AXIS = {"pose": 1, "body": 1, "face": 1, "there": 1, "embedding": 0, "reference_body": 0}
SVD_LIKE = nano(
    codec=CodecConfig(kind="kl", factor=2, scale=0.18215, widths=(32, 32), layers=1),
    image=ImageConfig(kind="clip", clip_width=32, clip_inner=64, clip_layers=1, clip_heads=2, clip_size=28),
)


def pipeline(config: NetworkConfig) -> TogetherVideoPipeline:
    torch.manual_seed(0)
    network = awake(DuetUNet.of(config))
    clip = build_image_encoder(config.image, config.unet.cross_dim) if config.image.kind == "clip" else None
    made = TogetherVideoPipeline.of(network, build_codec(config.codec), clip)
    made.set_progress_bar_config(disable=True)
    return made


def example(frames: int, *, people: int = 2, size: tuple[int, int] = (16, 16), seed: int = 0) -> dict[str, Any]:
    """What model.windows.example gives, as far as a pipeline looks at it."""
    rng = np.random.default_rng(seed)

    def draw(most: int, *shape: int) -> np.ndarray:
        return rng.integers(0, most, shape, dtype=np.uint8)

    return {
        "reference": draw(256, 3, *size),
        "reference_body": draw(2, people, 1, *size),
        "pose": draw(256, frames, people, 3, *size),
        "body": draw(2, frames, people, 1, *size),
        "face": draw(2, frames, people, 1, *size),
        "there": np.ones((frames, people), bool),
        "embedding": rng.normal(size=(people, 12)).astype(np.float32),
        "fps": np.float32(30),
        "key": "one",
    }


def made(pipe: TogetherVideoPipeline, one: Any, *, seed: int = 3, **arguments: Any) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    return np.asarray(pipe(one, generator=generator, **{"steps": 2, **arguments}).frames)


@pytest.mark.parametrize("config", [nano(), SVD_LIKE], ids=["from scratch", "like svd"])
def test_it_is_the_same_after_saving_and_loading(config: NetworkConfig, tmp_path: Path) -> None:
    pipe, one = pipeline(config), example(5)
    before = made(pipe, one, guidance=2.0)
    assert before.shape == (1, 5, 16, 16, 3)
    assert before.dtype == np.uint8
    assert before.std() > 5
    run = tmp_path / "run"
    pipe.save_pretrained(run / "pipeline")
    files = [path for path in run.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    for place in (run, str(run / "pipeline")):
        loaded = TogetherVideoPipeline.from_pretrained(place)
        assert loaded.network.shape == config
        assert np.array_equal(made(loaded, one, guidance=2.0), before)


def test_a_seed_is_repeatable_whatever_else_was_drawn() -> None:
    pipe, one = pipeline(nano()), example(5)
    first = made(pipe, one)
    torch.manual_seed(99)
    assert np.array_equal(made(pipe, one), first)
    assert not np.array_equal(made(pipe, one, seed=4), first)


def test_frames_are_the_decoded_latents() -> None:
    pipe, one = pipeline(nano()), example(31)
    latent = pipe(one, steps=1, generator=torch.Generator().manual_seed(3), output_type="latent").frames
    assert latent.shape == (1, 31, 48, 4, 4)
    whole = ((pipe.codec.decode(latent).clamp(-1, 1) + 1) * 127.5).round().byte().movedim(2, -1).numpy()
    assert np.array_equal(made(pipe, one, steps=1), whole)
    # Colours keep their places on the way.
    red = torch.full((1, 30, 3, 16, 16), -1.0)
    red[:, 29, 0, :, 8:] = 1
    frames = decode_frames(pipe.codec, pipe.codec.encode(red))
    assert frames[0, 29, :, 8:].tolist() == [[[255, 0, 0]] * 8] * 16
    assert not frames[0, :29].any()
    assert not frames[0, 29, :, :8].any()


def test_the_autoencoders_frames_are_decoded_in_parts_as_in_one() -> None:
    pipe = pipeline(SVD_LIKE)
    latent = torch.randn(1, 30, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = ((pipe.codec.decode(latent).clamp(-1, 1) + 1) * 127.5).round().byte().movedim(2, -1).numpy()
    assert np.array_equal(decode_frames(pipe.codec, latent), whole)


def test_the_order_of_people_does_not_matter() -> None:
    pipe, one = pipeline(nano()), example(3, people=3)
    turned = dict(one)
    for name, axis in PEOPLE_AXIS.items():
        turned[name] = np.take(one[name], [2, 0, 1], axis=axis)
    found = made(pipe, one).astype(int)
    assert np.abs(made(pipe, turned).astype(int) - found).max() <= 1
    wrong = {**turned, "reference_body": one["reference_body"]}
    assert np.abs(made(pipe, wrong).astype(int) - found).max() > 1


def test_a_batch_holds_clips_of_different_casts() -> None:
    pipe = pipeline(nano())
    batch = collate_examples([example(3, people=1, seed=1), example(3, people=3, seed=2)])
    assert batch["there"].sum(dim=(1, 2)).tolist() == [3, 9]
    found = made(pipe, batch)
    assert found.shape == (2, 3, 16, 16, 3)
    # Whoever stands in the padding is nobody.
    batch["pose"][0, :, 1:], batch["body"][0, :, 1:] = 77, 1
    assert np.abs(made(pipe, batch).astype(int) - found).max() <= 1


def test_what_else_an_example_holds_is_not_looked_at() -> None:
    pipe, one = pipeline(nano()), example(3)
    truth = np.random.default_rng(0).integers(0, 256, (3, 3, 16, 16), dtype=np.uint8)
    assert np.array_equal(made(pipe, {**one, "video": truth, "mirrored": np.bool_(False)}), made(pipe, one))


def test_noise_on_the_reference_image_is_told_and_repeatable() -> None:
    pipe, one = pipeline(nano()), example(2)
    first = made(pipe, one, noise_aug=0.5)
    assert np.array_equal(made(pipe, one, noise_aug=0.5), first)
    assert not np.array_equal(made(pipe, one, noise_aug=0.0), first)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pose": None, "fps": None}, "example: want .*, got no pose, fps"),
        ({"body": np.zeros((3, 2, 1, 8, 8), np.uint8)}, r"conditions.body: want \(1, 3, 2, 1, 16, 16\), got"),
        ({"embedding": np.zeros((2, 512), np.float32)}, r"conditions.embedding: want \(1, 2, 12\)"),
    ],
    ids=["missing", "another size", "another embedding"],
)
def test_an_example_that_does_not_fit_is_named(change: dict[str, Any], said: str) -> None:
    one = {name: value for name, value in {**example(3), **change}.items() if value is not None}
    with pytest.raises(ValueError, match=said):
        pipeline(nano())(one)


def test_another_output_type_is_refused() -> None:
    with pytest.raises(ValueError, match="output_type: want np or latent, got 'pil'"):
        pipeline(nano())(example(3), output_type="pil")


def test_parts_must_be_those_of_the_network() -> None:
    network, vae = DuetUNet.of(nano()), build_vae(SVD_LIKE.codec)
    with pytest.raises(ValueError, match=r"pipeline\.vae: want one exactly with codec\.kind kl"):
        TogetherVideoPipeline(network, vae)
    with pytest.raises(ValueError, match=r"pipeline\.image_encoder: want one exactly with image\.kind clip"):
        TogetherVideoPipeline(DuetUNet.of(replace(SVD_LIKE, codec=nano().codec)), None)


def test_a_folder_without_a_pipeline_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"want a run with pipeline/ or a pipeline, got no model_index\.json"):
        TogetherVideoPipeline.from_pretrained(tmp_path)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    pipe = pipeline(nano())
    pipe.save_pretrained(tmp_path)
    weights = tmp_path / "network" / "diffusion_pytorch_model.safetensors"
    torch.save(pipe.network.state_dict(), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(OSError, match="safetensors"):
        TogetherVideoPipeline.from_pretrained(tmp_path)
