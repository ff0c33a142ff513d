"""Several processes: each sample once an epoch, DDP and FSDP train the same, and both resume to the same curve.

Two processes on the CPU, with gloo. What NCCL and several hosts add is not run here.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from model.parallel import Precision, Processes, gathering, whole  # noqa: E402
from model.pipeline import TogetherVideoPipeline  # noqa: E402
from model.run_folder import RunFolder  # noqa: E402
from tests.small_runs import SAMPLES, curve, write_shards  # noqa: E402

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The folder in which two processes ran tests/two_ranks.py, and what each wrote."""
    folder = tmp_path_factory.mktemp("ranks")
    shards = write_shards(folder)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, "-m", "tests.two_ranks", str(shards), str(folder)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[:4000]
    return folder, [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_two_ranks_of_three_workers_see_every_sample_once_and_marked_padding(ran: Any) -> None:
    _, told = ran
    assert [one["world"] for one in told] == [2, 2]
    orders = []
    for epoch in range(2):
        mine, other = (one["epochs"][epoch] for one in told)
        assert len(mine) == len(other) == (SAMPLES + 1) // 2
        own = [key for key, padding in mine + other if not padding]
        assert len(own) == len(set(own)) == SAMPLES
        assert sum(padding for _, padding in mine + other) == SAMPLES % 2
        orders.append(own)
    assert orders[0] != orders[1]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_ranks_resume_to_the_very_curve(ran: Any, parallel: str) -> None:
    folder, told = ran
    assert [one[parallel] for one in told] == [{"half": 2, "began_at": 2, "steps": 4}] * 2
    assert curve(folder / parallel / "part") == curve(folder / parallel / "whole")
    states = [RunFolder(folder / parallel / name).latest() for name in ("part", "whole")]
    files = [sorted(path.name for path in state[1].iterdir()) for state in states if state]
    shares = 2 if parallel == "fsdp" else 1
    tensor_files = [f"tensors-{rank:05d}.safetensors" for rank in range(shares)]
    assert files[0] == files[1] == ["place-00000.json", "place-00001.json", *tensor_files]
    for name in tensor_files:
        one, other = (load_file(state[1] / name) for state in states if state)
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_shared_weights_train_as_whole_ones(ran: Any) -> None:
    folder, _ = ran
    for one, other in zip(curve(folder / "ddp" / "whole"), curve(folder / "fsdp" / "whole"), strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    file = "whole/pipeline/network/diffusion_pytorch_model.safetensors"
    weights, shared = load_file(folder / "ddp" / file), load_file(folder / "fsdp" / file)
    assert weights.keys() == shared.keys()
    # Where a norm follows, a bias has no gradient but rounding, and Adam makes steps of that: not to the last digit.
    for name in weights:
        assert (weights[name] - shared[name]).norm() <= 0.01 * weights[name].norm() + 5e-3, name
    # Each process keeps about half.
    sizes = [path.stat().st_size for path in sorted((folder / "fsdp/whole/state").glob("*/tensors-*"))]
    (alone,) = (path.stat().st_size for path in (folder / "ddp/whole/state").glob("*/tensors-*"))
    assert max(sizes) < 0.6 * alone


def test_svd_with_its_frozen_parts_trains_shared_in_bfloat16(ran: Any) -> None:
    """The preset's own parts, narrow and at random: what is trained, recomputed and shared is that of the full size."""
    folder, told = ran
    assert [one["svd"] for one in told] == [2, 2]
    assert all(math.isfinite(loss) and norm > 0 for _, loss, norm, _ in curve(folder / "svd"))
    pipeline = TogetherVideoPipeline.from_pretrained(folder / "svd")
    assert pipeline.vae is not None
    assert pipeline.image_encoder is not None


def test_all_ranks_stop_at_a_loss_that_is_not_finite(ran: Any) -> None:
    _, told = ran
    assert all(one["diverged"].startswith("step 2: want a finite loss") for one in told)


def test_one_process_needs_no_launcher() -> None:
    alone = Processes.here()
    assert (alone.rank, alone.world_size, alone.main) == (0, 1, True)
    assert alone.total([1.5, 2.0]) == [1.5, 2.0]
    with gathering(torch.nn.Linear(1, 1)):
        alone.wait()


def test_a_step_cuts_gradients_and_gives_their_norm() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    precision = Precision("no", torch.device("cpu"))
    precision.backward((weight * torch.tensor([3.0, 4.0])).sum())
    assert precision.step(optimizer, [weight], 1.0).item() == pytest.approx(5)
    assert torch.allclose(weight.detach(), torch.tensor([-0.6, -0.8]), atol=1e-5)


def test_fp16_leaves_out_an_update_that_overflows_and_tries_a_smaller_scale() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    precision = Precision("fp16", torch.device("cpu"))
    before = precision.scaler.get_scale()
    precision.backward((weight * torch.tensor(3e38)).sum())
    assert not precision.step(optimizer, [weight], 1.0).isfinite()
    assert weight.item() == 1
    assert precision.scaler.get_scale() == before / 2
    optimizer.zero_grad()
    precision.backward((weight * 0.5).sum())
    assert precision.step(optimizer, [weight], 10.0).item() == pytest.approx(0.5)
    assert weight.item() == 0.5
    assert whole(weight).item() == 0.5
