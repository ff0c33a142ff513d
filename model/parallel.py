"""Processes that train one network together: who is who, how weights are spread, in which precision they count.

`accelerate launch` or `torchrun` starts them; one process alone needs neither. With "ddp" each holds the whole network
and gradients are averaged; with "fsdp" (PyTorch's fully_shard) each holds a share of every weight, its gradient and its
optimizer state, and the parts of the network are put together when their turn comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from diffusers.models.resnet import SpatioTemporalResBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

# What is put together at once: the U-Net's two kinds of large layers. The rest, small, is one share with the root.
_SHARDED = (SpatioTemporalResBlock, TransformerSpatioTemporalModel)
_TYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """This process among those that train together."""

    rank: int
    world_size: int
    device: torch.device

    @classmethod
    def here(cls) -> Processes:
        """As the launcher started this one; alone where none did. Joins torch.distributed where there are several."""
        # accelerate takes processes without a GPU for single ones unless told.
        state = PartialState(cpu=not torch.accelerator.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU"))
        return cls(rank=state.process_index, world_size=state.num_processes, device=state.device)

    @property
    def main(self) -> bool:
        """The one that writes and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all have come here."""
        if self.world_size > 1:
            dist.barrier()

    def total(self, values: list[float]) -> list[float]:
        """The sums over all processes."""
        if self.world_size == 1:
            return values
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(summed)
        return summed.tolist()


def spread(network: nn.Module, how: Literal["ddp", "fsdp"], processes: Processes, precision: str) -> nn.Module:
    """The network on this process's device, as it is called in training: wrapped, or with its weights spread.

    Every process must come with the same weights. The optimizer is made after this.
    """
    if processes.world_size == 1:
        return network.to(processes.device)
    if how == "ddp":
        gpus = [processes.device] if processes.device.type == "cuda" else None
        return DistributedDataParallel(
            network.to(processes.device), device_ids=gpus, broadcast_buffers=False, gradient_as_bucket_view=True
        )
    mesh = init_device_mesh(processes.device.type, (processes.world_size,))
    # Inputs keep their precision: noise levels would lose theirs. Gradients are summed in float32.
    kept = MixedPrecisionPolicy(
        param_dtype=None if precision == "no" else _TYPES[precision],
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    for part in list(network.modules()):
        if isinstance(part, _SHARDED):
            fully_shard(part, mesh=mesh, mp_policy=kept)
    return fully_shard(network, mesh=mesh, mp_policy=kept)


@contextmanager
def gathering(wrapped: nn.Module) -> Iterator[None]:
    """Backward passes within this only add up gradients; the next one outside also averages them over processes."""
    if isinstance(wrapped, FSDPModule):
        wrapped.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            wrapped.set_requires_gradient_sync(True)
    elif isinstance(wrapped, DistributedDataParallel):
        with wrapped.no_sync():
            yield
    else:
        yield


def whole(tensor: Tensor) -> Tensor:
    """A weight put together from all processes (all must ask for it), on this process's device."""
    plain = tensor.detach()
    return plain.full_tensor() if isinstance(plain, DTensor) else plain


class Precision:
    """Mixed precision: which type the forward pass counts in, and fp16's scaling of losses against underflow."""

    def __init__(self, precision: str, device: torch.device) -> None:
        self._type, self._device = _TYPES[precision], device.type
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    def counting(self) -> Any:
        """The context of a forward pass."""
        return torch.autocast(self._device, self._type, enabled=self._type is not torch.float32)

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss, scaled in fp16."""
        self.scaler.scale(loss).backward()

    def step(self, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], most: float) -> Tensor:
        """Cut gradients to a norm of `most` and update; gives the norm before, a scalar.

        In fp16 an update whose norm is not finite is left out, and the scale halved.
        """
        self.scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(parameters, most)
        self.scaler.step(optimizer)
        self.scaler.update()
        return whole(norm)
