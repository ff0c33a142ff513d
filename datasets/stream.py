"""Shards -> training windows: an iterable without torch, split by rank and worker, resumable to the exact sample."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from datasets.members import ShardError
from datasets.sample_list import Ref, list_samples, padded_order, read_at, share_of, visit_order
from datasets.view import Fit
from datasets.window_sample import Frames, decode_window, wanted_members

log = logging.getLogger("duetflow")


class Draw(Protocol):
    """Which frames of a clip to show, where a window of evenly spaced ones from anywhere will not do."""

    @property
    def span(self) -> int:
        """The fewest frames that a clip must have."""
        ...

    def __call__(self, visible: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """Visible shares (P, T) float32, 0 for who is not there -> frames of the clip (n,) int64, in any order."""
        ...


class ShardStream:
    """Windows of clips, one a sample and epoch, as a dict of numpy arrays.

    | name | shape | what |
    |---|---|---|
    | video | (n, h, w, 3) uint8 | RGB |
    | mask | (P, n, h, w) bool | modal, exclusive |
    | keypoint | (P, n, J, 2) float32 | pixels of this window's picture |
    | score, flag | (P, n, J) float32, uint8 | as in `People`; flag is 0 outside the picture |
    | box | (P, n, 4) float32 | clipped to the picture |
    | present, visible, confidence | (P, n) bool, float32, float32 | |
    | frame | (n,) int64 | frames of the clip |
    | fps | () float32 | of the clip; the window's own is fps / stride |
    | kind | (P,) str | human or robot |
    | reference | (h, w, 3) uint8 | the reference image, when asked for |
    | face_mask | (P, n, h, w) bool | when `faces` are asked for; empty where the sample has none |
    | face_embedding | (P, 512) float32 | unit identity vector; zeros where the sample has none |
    | padding | () bool | with even="pad": it stands in this epoch already, and again only to fill up |
    | key, skeleton | str | |

    `source` is a dataset folder or shards, local or any address that fsspec opens. `split` None takes all; `size` is
    (h, w), None the clip's own; `fit` says what becomes of another shape. With `draw`, that says which frames are shown
    instead of `window` and `stride`. Clips too short for these are left out and counted in `too_short`. A damaged
    sample raises ShardError, or with on_error="skip" is logged and counted in `skipped`. The order is a function of
    seed, epoch, rank and worker; `shuffle_buffer` 0 keeps the listed order. `even` gives every rank
    equally many samples: True leaves out those over, "pad" shows some a second time, also in place of damaged ones.
    Raises ShardError where there is nothing to read and ValueError for an argument out of range.
    """

    def __init__(
        self,
        source: str | Path | Sequence[str | Path],
        *,
        split: str | None = "train",
        include_review: bool = False,
        window: int = 16,
        stride: int = 1,
        size: tuple[int, int] | None = None,
        fit: Fit = "crop",
        reference: bool = False,
        faces: bool = False,
        draw: Draw | None = None,
        seed: int = 0,
        shuffle_buffer: int = 4096,
        rank: int = 0,
        world_size: int = 1,
        worker: int = 0,
        num_workers: int = 1,
        even: bool | Literal["pad"] = False,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> None:
        for name, value, low in (("window", window, 1), ("stride", stride, 1), ("shuffle_buffer", shuffle_buffer, 0)):
            if value < low:
                raise ValueError(f"{name}: want {low} or more, got {value}")
        for name, value, total in (("rank", rank, world_size), ("worker", worker, num_workers)):
            if not 0 <= value < total:
                raise ValueError(f"{name}: want 0 to {total - 1}, got {value}")
        if even not in (False, True, "pad"):
            raise ValueError(f"even: want True, False or pad, got {even!r}")
        if fit not in ("crop", "stretch") or on_error not in ("raise", "skip"):
            raise ValueError(f"want fit crop or stretch and on_error raise or skip, got {fit!r} and {on_error!r}")
        self.window, self.stride, self.size, self.fit = window, stride, size, fit
        self.reference, self.seed, self.shuffle_buffer, self.on_error = reference, seed, shuffle_buffer, on_error
        self.faces, self.draw = faces, draw
        self.rank, self.world_size, self.worker, self.num_workers = rank, world_size, worker, num_workers
        self.even = even
        address = str(source) if isinstance(source, str | Path) else [str(one) for one in source]
        listed = list_samples(address, split=split, include_review=include_review)
        self.refs = tuple(ref for ref in listed if ref.frames >= self.span)
        self.too_short = len(listed) - len(self.refs)
        self.skipped = 0
        self.epoch = 0
        self._position = self._resume = 0
        if not self.refs:
            raise ShardError(f"{address}: want clips of {self.span} frames or more, got {len(listed)} shorter ones")

    @property
    def span(self) -> int:
        """The fewest frames that a clip must have: those that a window reaches over."""
        return self.draw.span if self.draw else (self.window - 1) * self.stride + 1

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch with the next iteration: other order, other windows."""
        self.epoch, self._position, self._resume = epoch, 0, 0

    def share(self, worker: int | None = None, num_workers: int | None = None) -> list[Ref]:
        """The samples that a worker (this one unless told) visits in this epoch, in order."""
        return [ref for ref, _ in self._visits(worker, num_workers)]

    def _visits(self, worker: int | None = None, num_workers: int | None = None) -> list[tuple[Ref, bool]]:
        """`share`, each sample with whether it is padding."""
        order = visit_order(
            [ref.shard for ref in self.refs], seed=self.seed, epoch=self.epoch, buffer=self.shuffle_buffer
        )
        if self.even == "pad":
            order = padded_order(order, self.world_size)
        mine = share_of(
            np.arange(len(order)),
            rank=self.rank,
            world_size=self.world_size,
            worker=self.worker if worker is None else worker,
            num_workers=num_workers or self.num_workers,
            even=self.even is True,
        )
        return [(self.refs[order[at]], bool(at >= len(self.refs))) for at in mine]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The windows of this epoch, from where load_state_dict left off or from the start."""
        self._position, self._resume = self._resume, 0
        visits = self._visits()
        for at in range(self._position, len(visits)):
            self._position += 1
            ref, padding = visits[at]
            try:
                sample = self._window(ref)
            except ShardError as error:
                if self.on_error == "raise":
                    raise
                self._skip(error)
                if self.even != "pad":
                    continue
                sample, padding = self._instead([*(other for other, _ in visits[at + 1 :]), *self.refs], error), True
            yield {**sample, "padding": np.bool_(padding)} if self.even == "pad" else sample

    def _window(self, ref: Ref) -> dict[str, Any]:
        draw = self.draw and partial(self.draw, rng=self.rng(ref.key))
        return self.read(ref, draw or self.random_window(ref))

    def _skip(self, error: ShardError) -> None:
        self.skipped += 1
        log.warning("skipped a damaged sample: %s", error)

    def _instead(self, others: Sequence[Ref], damaged: ShardError) -> dict[str, Any]:
        """The first of the others that can be read: ranks that step together must get equally many, come what may."""
        for ref in others:
            try:
                return self._window(ref)
            except ShardError as error:
                # Counted when it is its own turn.
                log.debug("%s", error)
        raise damaged

    def random_window(self, ref: Ref) -> np.ndarray:
        """The frames of a sample that this epoch shows: a function of seed, epoch and key."""
        return self.rng(ref.key).integers(ref.frames - self.span + 1) + np.arange(self.window) * self.stride

    def rng(self, key: str, *purpose: int) -> np.random.Generator:
        """The randomness of a sample in this epoch: a function of seed, epoch and key; another for each purpose."""
        return np.random.default_rng((self.seed, self.epoch, zlib.crc32(key.encode()), *purpose))

    def find(self, key: str) -> Ref:
        """Where the sample of this key lies. Raises KeyError."""
        for ref in self.refs:
            if ref.key == key:
                return ref
        raise KeyError(f"{key}: want the key of a sample in this stream, got none of that name")

    def read(self, ref: Ref, frames: Frames) -> dict[str, Any]:
        """Any frames of a sample, without decoding the rest, or those that a function of `visible` names (see Draw).

        Raises ShardError that names shard and member.
        """
        optional = {"reference": self.reference, "faces": self.faces}
        try:
            members = read_at(ref, wanted_members(**optional))
            return decode_window(members, frames, size=self.size, fit=self.fit, **optional)
        except (ShardError, OSError) as error:
            raise ShardError(f"{ref.shard}: {ref.key}: {error}") from error

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands: after so many samples of an epoch."""
        position = self._resume or self._position
        return {"epoch": self.epoch, "position": position, "fingerprint": self.fingerprint()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on where a stream of the same samples and arguments stood. Raises ValueError."""
        if state["fingerprint"] != self.fingerprint():
            raise ValueError(
                "state: want the state of a stream over the same samples with the same arguments, got another"
            )
        self.epoch, self._position = int(state["epoch"]), 0
        self._resume = int(state["position"])

    def fingerprint(self) -> str:
        """A digest of all that order and windows hang on, but the epoch."""
        numbers = [
            self.seed,
            self.shuffle_buffer,
            self.window,
            self.stride,
            2 if self.even == "pad" else int(self.even),
        ]
        numbers += [self.rank, self.world_size, self.worker, self.num_workers]
        keys = [(ref.key, Path(ref.shard).name, ref.frames) for ref in self.refs]
        drawn = [] if self.draw is None else [repr(self.draw)]
        return hashlib.sha256(json.dumps([numbers, keys, *drawn]).encode()).hexdigest()[:32]
