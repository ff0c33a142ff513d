"""datasets/stream.py for torch: an IterableDataset for a DataLoader's workers, and a loader that resumes exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from datasets.stream import ShardStream
from model.orphans import end_with_parent

# What has one row a person, and so another length from sample to sample.
PER_PERSON = (
    "mask", "keypoint", "score", "flag", "box", "present", "visible", "confidence", "face_mask", "face_embedding",
)  # fmt: skip
_AT = "at"
# Whose randomness is not that of the choice of frames.
_TRANSFORM = 1


class TorchShardStream(IterableDataset):
    """The samples of a `ShardStream` (same arguments), each to exactly one worker of one rank.

    The rank is torch.distributed's when that is initialised. `set_epoch` reaches workers that are already alive, too.
    To resume within an epoch, wrap it in a ShardLoader: workers run ahead, so only a loader knows what was delivered.
    `transform` makes of each sample what is delivered, with randomness that is a function of seed, epoch and key.
    """

    def __init__(
        self,
        source: str | Path | Sequence[str | Path],
        *,
        rank: int | None = None,
        world_size: int | None = None,
        transform: Callable[[dict[str, Any], np.random.Generator], dict[str, Any]] | None = None,
        **arguments: Any,
    ) -> None:
        spread = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = rank if rank is not None else torch.distributed.get_rank() if spread else 0
        world_size = world_size or (torch.distributed.get_world_size() if spread else 1)
        self.transform = transform
        self.stream = ShardStream(source, rank=rank, world_size=world_size, **arguments)
        # [epoch, whose turn, samples that worker 0, 1, ... has visited]. Shared: persistent workers see it change.
        self._begin = torch.zeros(3, dtype=torch.int64).share_memory_()
        self._tracked = False

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch with the next iteration. Call it between iterations."""
        self._begin.zero_()
        self._begin[0] = epoch

    def track(self, num_workers: int) -> None:
        """Tell in samples who visited it, how many they have, how many they skipped: `at`. Before workers start."""
        self._begin, self._tracked = torch.zeros(2 + num_workers, dtype=torch.int64).share_memory_(), True

    def begin(self, epoch: int, turn: int, visited: Sequence[int]) -> None:
        """Begin the next iteration in this epoch, where each worker has visited so many and it is one's turn."""
        self._begin.copy_(torch.tensor([epoch, turn, *visited]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        worker, num_workers = (info.id, info.num_workers) if info else (0, 1)
        epoch, turn, *visited = self._begin.tolist()
        # A loader begins with its worker 0: that one takes the part of the worker whose turn it was.
        part = (worker + turn) % num_workers
        self.stream.worker, self.stream.num_workers = part, num_workers
        self.stream.set_epoch(epoch)
        if self._tracked:
            self.stream.load_state_dict({**self.stream.state_dict(), "position": visited[part]})
        told = self.stream.skipped
        for sample in self.stream:
            if self.transform:
                sample = self.transform(sample, self.stream.rng(sample["key"], _TRANSFORM))
            if self._tracked:
                sample = {**sample, _AT: (part, self.stream.state_dict()["position"], self.stream.skipped - told)}
                told = self.stream.skipped
            yield sample


class ShardLoader:
    """A DataLoader over a TorchShardStream that knows how far it is, to the exact batch.

    `state_dict` holds, after any batch, how many samples each worker has visited of what was delivered; what workers
    had made ahead is made again. A new loader with that state goes on with the very batch that would have been next,
    whatever was skipped as damaged before. Number of workers, batch size, ranks and arguments must be those of the
    saved run. `skipped` counts the damaged samples before the last delivered one, over all epochs; with even="pad",
    which puts another sample in the place of each, that is all of them.
    """

    def __init__(
        self,
        dataset: TorchShardStream,
        *,
        batch_size: int = 1,
        num_workers: int = 0,
        collate_fn: Callable[[list[dict[str, Any]]], Any] | None = None,
        **options: Any,
    ) -> None:
        """`options` go to the DataLoader."""
        self.dataset, self._parts = dataset, max(1, num_workers)
        dataset.track(self._parts)
        self._made_with = {
            "num_workers": self._parts,
            "batch_size": batch_size,
            "stream": dataset.stream.fingerprint(),
        }
        self.loader = DataLoader(
            dataset,
            batch_size=batch_size,
            num_workers=num_workers,
            collate_fn=_Tracking(collate_fn or collate),
            **({"worker_init_fn": end_with_parent} if num_workers else {}) | options,
        )
        self.skipped = 0
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch with the next iteration."""
        self._state: dict[str, Any] = {"epoch": epoch, "turn": 0, "visited": [0] * self._parts}
        self._fresh = True

    def __iter__(self) -> Iterator[Any]:
        """The batches of the epoch: from its start, or from a state that was just loaded."""
        if not self._fresh:
            self.set_epoch(self._state["epoch"])
        self._fresh = False
        state = self._state
        self.dataset.begin(state["epoch"], state["turn"], state["visited"])
        for (part, visited, skipped), batch in self.loader:
            state["visited"][part] = visited
            self.skipped += skipped
            state["turn"] = (part + 1) % self._parts
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands."""
        visited = list(self._state["visited"])
        return {**self._state, "visited": visited, "skipped": self.skipped, "made_with": dict(self._made_with)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on from a state. Raises ValueError when this loader is set up in another way."""
        if state["made_with"] != self._made_with:
            raise ValueError(f"state: want one made with {self._made_with}, got one made with {state['made_with']}")
        self._state = {"epoch": state["epoch"], "turn": state["turn"], "visited": list(state["visited"])}
        self.skipped = state["skipped"]
        self._fresh = True


class _Tracking:
    """A collate function that also says who made the batch, how many they have visited by now and skipped for it."""

    def __init__(self, collate_fn: Callable[[list[dict[str, Any]]], Any]) -> None:
        self.collate_fn = collate_fn

    def __call__(self, samples: list[dict[str, Any]]) -> tuple[tuple[int, int, int], Any]:
        at = [sample.pop(_AT) for sample in samples]
        part, visited, _ = at[-1]
        return (part, visited, sum(skipped for _, _, skipped in at)), self.collate_fn(samples)


def collate(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch: arrays stacked, people padded to the most in the batch, names as lists.

    Adds `person`, (B, P) bool: true for those that are there. Samples must be of one size, window and skeleton.
    """
    most = max(len(sample["present"]) for sample in samples)
    there = np.array([[row < len(sample["present"]) for row in range(most)] for sample in samples])
    batch: dict[str, Any] = {"person": torch.from_numpy(there)}
    for name, value in samples[0].items():
        column = [sample[name] for sample in samples]
        if name in PER_PERSON:
            column = [np.pad(one, [(0, most - len(one))] + [(0, 0)] * (one.ndim - 1)) for one in column]
        numeric = isinstance(value, np.ndarray | np.generic) and value.dtype.kind != "U"
        batch[name] = torch.from_numpy(np.stack(column)) if numeric else column
    return batch
