"""The demo's own sources: a choreography for two that the project makes itself, so that the demo needs nothing."""

from __future__ import annotations

from pathlib import Path

from datasets.remote import is_address
from datasets.remote_scratch import scratch
from flows.sources import SourceFile
from tasks.motion import write_demo_motions

DEMO_NAME = "demo"


def demo_sources(store: str, seed: int) -> list[SourceFile]:
    """The demo's scene files, written beside the store's artifacts unless they are there.

    With a store at an address they are written beside this machine's copies of it.
    """
    beside = scratch() if is_address(store) else Path(store).absolute()
    scenes = write_demo_motions(beside / DEMO_NAME / str(seed), seed)
    return [SourceFile(name=path.name, path=str(path), kind="scene") for path in scenes]
