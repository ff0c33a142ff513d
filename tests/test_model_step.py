"""model/step.py: how often conditions are hidden, alone and together; the same randomness from the same place."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from model.conditions import Conditions  # noqa: E402
from model.config import RunConfig, changed  # noqa: E402
from model.latents import build_codec  # noqa: E402
from model.presets import preset  # noqa: E402
from model.step import clip_errors, generator_of  # noqa: E402

CLIPS = 4000


def batch(clips: int) -> dict[str, torch.Tensor]:
    """One frame of one person in 8 x 8 pixels, so many times."""
    generator = torch.Generator().manual_seed(0)
    shape = (clips, 1, 1)
    return {
        "video": torch.randint(256, (clips, 1, 3, 8, 8), generator=generator, dtype=torch.uint8),
        "pose": torch.zeros(*shape, 3, 8, 8, dtype=torch.uint8),
        "body": torch.ones(*shape, 1, 8, 8, dtype=torch.uint8),
        "face": torch.zeros(*shape, 1, 8, 8, dtype=torch.uint8),
        "there": torch.ones(shape, dtype=torch.bool),
        "embedding": torch.zeros(clips, 1, 512),
        "reference": torch.zeros(clips, 3, 8, 8, dtype=torch.uint8),
        "reference_body": torch.ones(clips, 1, 1, 8, 8, dtype=torch.uint8),
        "fps": torch.full((clips,), 10.0),
    }


def config(dropout: float) -> RunConfig:
    return changed(preset("tiny"), ["network.size=[8, 8]", "network.frames=1", f"train.dropout={dropout}"])


def hidden(dropout: float, step: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Which clips had their image, and which their people hidden in a step."""
    seen: list[Conditions] = []

    def network(noisy: torch.Tensor, noise: torch.Tensor, given: Conditions) -> torch.Tensor:
        seen.append(given)
        return torch.zeros_like(noisy)

    run = config(dropout)
    generator = generator_of(run.train.seed, step, 0, 0, torch.device("cpu"))
    errors = clip_errors(network, batch(CLIPS), run, build_codec(run.network.codec), None, generator)
    assert errors.shape == (CLIPS,)
    assert seen[0].keep_image is not None
    assert seen[0].keep_people is not None
    return ~seen[0].keep_image, ~seen[0].keep_people


def test_half_of_what_is_hidden_is_hidden_together() -> None:
    image, people = hidden(0.2)
    for share, want in ((image, 0.2), (people, 0.2), (image & people, 0.1), (image & ~people, 0.1)):
        assert share.float().mean().item() == pytest.approx(want, abs=0.025)


def test_nothing_is_hidden_without_dropout_and_steps_differ() -> None:
    assert not any(one.any() for one in hidden(0.0))
    assert torch.equal(hidden(0.2)[0], hidden(0.2)[0])
    assert not torch.equal(hidden(0.2)[0], hidden(0.2, step=1)[0])
