"""The slow copy of what learns: an exponential moving average of weights, which is what generates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


class Ema:
    """shadow <- d shadow + (1 - d) weight after each step, in the weights' own type.

    d = min(decay, (1 + step) / (10 + step)): the average follows fast at first, as in TensorFlow's
    ExponentialMovingAverage with `num_updates`. Of weights that are spread over processes, each keeps its own share.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay = decay
        self._weights = {name: local(parameter) for name, parameter in parameters.items()}
        self.shadow = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps (1 is the first)."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.shadow.values()), list(self._weights.values()), share)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within this, the network has the average's weights."""
        kept = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._put(self.shadow)
        try:
            yield
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(values[name])


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process holds: all of it, unless it is spread. Shares memory with it."""
    plain = tensor.detach()
    return plain.to_local() if isinstance(plain, DTensor) else plain
