"""All that exact resuming needs, as safetensors and JSON: weights, average, optimizer, place in the data, the meter.

Randomness needs no place here: it is a function of seed and step (model/step.py). With weights spread over processes
each keeps its share in a file of its own; otherwise all hold the same, and the main one keeps it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from model.ema import Ema, local
from model.network import DuetUNet
from model.parallel import Precision, Processes
from model.run_folder import RunError

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """What changes while training. `trained` are the parameters that learn, by name."""

    network: DuetUNet
    trained: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    ema: Ema
    precision: Precision

    @property
    def is_spread(self) -> bool:
        """Whether each process holds a share of every weight."""
        return any(isinstance(parameter, DTensor) for parameter in self.network.parameters())


def save_state(folder: Path, learner: Learner, place: Mapping[str, Any], processes: Processes) -> None:
    """Write this process's part of a state. `place` is anything JSON holds: step, loader, meter."""
    about = {**place, "world_size": processes.world_size, "scaler": learner.precision.scaler.state_dict()}
    (folder / f"place-{processes.rank:05d}.json").write_text(json.dumps(about))
    if processes.main or learner.is_spread:
        tensors = {name: tensor.contiguous() for name, tensor in _tensors(learner)}
        save_file(tensors, str(folder / _file(learner, processes)))


def load_state(folder: Path, learner: Learner, processes: Processes) -> dict[str, Any]:
    """Put a state back into a new learner; gives its `place`.

    Raises RunError when a file is missing or damaged, or was made by another number of processes.
    """
    try:
        place = json.loads((folder / f"place-{processes.rank:05d}.json").read_text())
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: want the place of process {processes.rank}, got {error}") from None
    if place["world_size"] != processes.world_size:
        raise RunError(f"{folder}: want {place['world_size']} processes as the run had, got {processes.world_size}")
    file = folder / _file(learner, processes)
    try:
        kept = load_file(str(file))
    except Exception as error:  # safetensors' own kinds of error have no common name
        raise RunError(f"{file}: want a whole safetensors file, got {type(error).__name__}: {error}") from None
    _make_moments(learner, [name for name in learner.trained if f"step/{name}" in kept])
    found = dict(_tensors(learner))
    wrong = sorted(found.keys() ^ kept.keys()) or [name for name in found if found[name].shape != kept[name].shape]
    if wrong:
        raise RunError(f"{file}: want the tensors of this network, got others at {', '.join(wrong[:3])}")
    for name, tensor in found.items():
        tensor.copy_(kept[name])
    learner.precision.scaler.load_state_dict(place["scaler"])
    return place


def _file(learner: Learner, processes: Processes) -> str:
    return f"tensors-{processes.rank if learner.is_spread else 0:05d}.safetensors"


def _tensors(learner: Learner) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a state by name, as this process holds it; they share memory with the learner's."""
    for name, tensor in learner.network.state_dict().items():
        yield f"network/{name}", local(tensor)
    for name, tensor in learner.ema.shadow.items():
        yield f"ema/{name}", tensor
    for name, parameter in learner.trained.items():
        for moment, tensor in learner.optimizer.state.get(parameter, {}).items():
            yield f"{moment}/{name}", local(tensor)


def _make_moments(learner: Learner, names: Sequence[str]) -> None:
    """The optimizer's tensors of these parameters as they are after a first step, to be filled."""
    fused = any(group.get("fused") for group in learner.optimizer.param_groups)
    for parameter in (learner.trained[name] for name in names):
        steps = torch.zeros((), device=parameter.device if fused else "cpu")
        moments = (steps, torch.zeros_like(parameter), torch.zeros_like(parameter))
        learner.optimizer.state[parameter] = dict(zip(_MOMENTS, moments, strict=True))
