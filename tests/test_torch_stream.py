"""model/stream.py: workers and ranks of a DataLoader, batches of unequal casts, resuming to the exact batch."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from model.stream import ShardLoader, TorchShardStream  # noqa: E402
from tests.test_stream import damage, out  # noqa: E402, F401


def stream(out: Path, **changes: object) -> TorchShardStream:  # noqa: F811
    return TorchShardStream(out, size=(32, 32), window=4, seed=3, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_workers_deliver_every_sample_once(out: Path, workers: int) -> None:  # noqa: F811
    loader = torch.utils.data.DataLoader(stream(out), batch_size=None, num_workers=workers)
    keys = [sample["key"] for sample in loader]
    assert sorted(keys) == sorted(ref.key for ref in loader.dataset.stream.refs)
    loader.dataset.set_epoch(1)
    again = [sample["key"] for sample in loader]
    assert sorted(again) == sorted(keys)
    assert again != keys


def test_ranks_of_loaders_are_disjoint(out: Path) -> None:  # noqa: F811
    parts = []
    for rank in range(2):
        loader = torch.utils.data.DataLoader(stream(out, rank=rank, world_size=2), batch_size=None, num_workers=2)
        parts.append({sample["key"] for sample in loader})
    assert len(parts[0]) + len(parts[1]) == len(parts[0] | parts[1]) == 11


def test_the_rank_is_that_of_torch_distributed(out: Path, tmp_path: Path) -> None:  # noqa: F811
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        dataset = stream(out)
        assert (dataset.stream.rank, dataset.stream.world_size) == (0, 1)
        assert stream(out, rank=1, world_size=2).stream.rank == 1
    finally:
        torch.distributed.destroy_process_group()


def test_a_batch_pads_people_and_says_who_is_there(out: Path) -> None:  # noqa: F811
    batch = next(iter(ShardLoader(stream(out), batch_size=6)))
    count = batch["person"].sum(dim=1).tolist()
    assert set(count) == {1, 2, 3}
    assert batch["video"].shape == (6, 4, 32, 32, 3)
    assert batch["mask"].shape == (6, 3, 4, 32, 32)
    assert batch["mask"].dtype == torch.bool
    assert [len(kind) for kind in batch["kind"]] == count
    assert not batch["mask"][~batch["person"]].any()
    assert batch["mask"][batch["person"]].flatten(1).any(dim=1).all()


def content(batch: dict) -> tuple[list[str], bytes, bytes]:
    return batch["key"], batch["frame"].numpy().tobytes(), np.ascontiguousarray(batch["video"].numpy()).tobytes()


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize(("workers", "size"), [(0, 2), (2, 2), (3, 2), (2, 1)])
def test_resumes_to_the_exact_batch(out: Path, workers: int, size: int, persistent: bool) -> None:  # noqa: F811
    if persistent and (workers, size) != (2, 2):
        return
    options = {"batch_size": size, "num_workers": workers, "persistent_workers": persistent}
    loader = ShardLoader(stream(out), **options)
    loader.set_epoch(4)
    whole = [content(batch) for batch in loader]
    stops = range(len(whole) + 1) if workers == 0 else (1, len(whole) // 2, len(whole) - 1)
    for stop in stops:
        stopped = ShardLoader(stream(out), **options)
        stopped.set_epoch(4)
        first = [content(batch) for batch in itertools.islice(stopped, stop)]
        state = json.loads(json.dumps(stopped.state_dict()))
        resumed = ShardLoader(stream(out), **options)
        resumed.load_state_dict(state)
        assert first + [content(batch) for batch in resumed] == whole, f"stopped after {stop}"
    assert [content(batch) for batch in resumed] == whole, "the iteration after a resumed one is a whole epoch"


def test_resumes_past_a_damaged_sample(out: Path, tmp_path: Path) -> None:  # noqa: F811
    copy = damage(out, tmp_path, "mask.npz")
    options = {"batch_size": 2, "num_workers": 2}
    whole = [content(batch) for batch in ShardLoader(stream(copy, on_error="skip"), **options)]
    assert sum(len(keys) for keys, *_ in whole) == 10
    for stop in (1, len(whole) - 2):
        stopped = ShardLoader(stream(copy, on_error="skip"), **options)
        list(itertools.islice(stopped, stop))
        resumed = ShardLoader(stream(copy, on_error="skip"), **options)
        resumed.load_state_dict(stopped.state_dict())
        assert [content(batch) for batch in resumed] == whole[stop:]


def test_the_state_of_another_loader_is_refused(out: Path) -> None:  # noqa: F811
    state = ShardLoader(stream(out), batch_size=2).state_dict()
    with pytest.raises(ValueError, match="batch_size"):
        ShardLoader(stream(out), batch_size=3).load_state_dict(state)
