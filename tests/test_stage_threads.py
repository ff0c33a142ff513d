"""What a stage computes does not hang on the threads of the process it runs in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

from datasets.store import Store
from tasks.batch import Batch, Env, Item, Stage


@dataclass(frozen=True, kw_only=True)
class NoConfig:
    """A stage without settings."""


@pytest.mark.parametrize("threads", [2, 4])
def test_matrix_products_are_summed_in_one_order(tmp_path, threads):
    assert scipy.linalg is not None  # SciPy brings a BLAS of its own
    seen = []

    def compute(item, config, env, out):
        seen.extend(found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas")
        np.save(out / "x.npy", np.zeros(1))

    stage = Stage(name="render", version=1, inputs=(), compute=compute)
    item = Item(key="a", source="a.npz", path="a.npz")
    with threadpool_limits(limits=threads, user_api="blas"):
        done = stage.run(Batch(items=(item,)), NoConfig(), Env(store=Store(str(tmp_path / "store"))))
    assert not done.rejects
    assert seen
    assert set(seen) == {1}
