"""NumPy's and SciPy's matrix products -> the same bits on every machine of a kind, whatever its number of cores."""

from __future__ import annotations

from threadpoolctl import threadpool_limits


def one_thread() -> None:
    """Keep the BLAS libraries that are loaded in this process to one thread from here on.

    OpenBLAS cuts a long sum into as many parts as it has threads, and float sums depend on the cuts: with two threads a
    joint lies 1e-7 m elsewhere than with one, and an artifact's bytes would depend on how many workers a run has. Never
    taken back, for stages run side by side in threads. Torch's threads are others and stay as they are.
    """
    threadpool_limits(limits=1, user_api="blas")
