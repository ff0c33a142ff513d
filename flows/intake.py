"""Source files -> the first items of a route: each file hashed once, and each content taken once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from flows.run import Run
from flows.runners import cores
from flows.sources import SourceFile
from tasks import motion, probe
from tasks.batch import Batch, Item, Reject


def footage_items(run: Run) -> Batch:
    """The videos of a run as items for `probe`."""
    store = run.env.store
    return take_in(run.sources, lambda source: probe.source_item(source.path, source.name, store), stage="probe")


def motion_items(run: Run) -> Batch:
    """The motion and scene files of a run as items for `motion`."""
    store = run.env.store
    return take_in(run.sources, lambda source: motion.source_item(source.path, source.name, store), stage="motion")


def take_in(sources: Sequence[SourceFile], item_of: Callable[[SourceFile], Item], *, stage: str) -> Batch:
    """The items of sources, in order. A file that cannot be read, or whose bytes another has, is a reject.

    `item_of` hashes the file, whose sha256 is the first word of the item's part; several are hashed at a time.
    """

    def attempt(source: SourceFile) -> Item | OSError:
        try:
            return item_of(source)
        except OSError as error:
            return error

    with ThreadPoolExecutor(max_workers=cores()) as pool:
        found = list(pool.map(attempt, sources))
    items: dict[str, Item] = {}
    rejects = []
    for source, item in zip(sources, found, strict=True):
        if isinstance(item, OSError):
            reason = f"cannot be read: {item.strerror or item}"
            rejects.append(Reject(source=source.name, clip="", stage=stage, reason=reason, fault=True))
            continue
        first = items.setdefault(item.part.split()[0], item)
        if first is not item:
            reason = f"same bytes as {first.source}"
            rejects.append(Reject(source=source.name, clip="", stage=stage, reason=reason, fault=False))
    return Batch(items=tuple(items.values()), rejects=tuple(rejects))
