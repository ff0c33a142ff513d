"""Source files -> a route's first items: each file hashed once, each content taken once, none that was taken down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from datasets.disk import disk_error
from datasets.takedowns import Takedown
from flows.committed import Committed, committed
from flows.run import Run
from flows.runners import cores
from flows.sources import SourceFile
from tasks import motion, probe
from tasks.batch import Batch, Item, Reject


def footage_items(run: Run) -> Batch:
    """The videos of a run as items for `probe`."""
    store = run.env.store
    return take_in(
        run.sources,
        lambda source: probe.source_item(source.path, source.name, store),
        stage="probe",
        before=committed(run),
        forget=lambda item: probe.forget_sha256(item.path, store),
    )


def motion_items(run: Run) -> Batch:
    """The motion and scene files of a run as items for `motion`."""
    store = run.env.store
    return take_in(
        run.sources,
        lambda source: motion.source_item(source.path, source.name, store),
        stage="motion",
        before=committed(run),
        contents=lambda item: motion.contents(item.path, store),
        forget=lambda item: motion.forget_sha256s(item.path, store),
    )


def take_in(
    sources: Sequence[SourceFile],
    item_of: Callable[[SourceFile], Item],
    *,
    stage: str,
    before: Committed | None = None,
    contents: Callable[[Item], Sequence[str]] = lambda item: (),
    forget: Callable[[Item], None] = lambda item: None,
) -> Batch:
    """The items of sources, in order. A file that cannot be read, or whose bytes another has, is a reject.

    `item_of` hashes the file, whose sha256 is the first word of the item's part; several are hashed at a time. Of files
    with the same bytes the one goes on whose name the dataset knows already, so that a copy that comes to a folder
    later renames nothing; else the first. What was taken down from the dataset, or shows what was (`contents` gives the
    sha256 of all that is in an item), is a reject that does not name it, and `forget` removes what was noted of it.
    """

    def attempt(source: SourceFile) -> Item | OSError:
        try:
            return item_of(source)
        except OSError as error:
            if disk_error(error):
                raise  # what it was hashed to could not be noted: no fault of the file
            return error

    before = before or Committed()
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        found = list(pool.map(attempt, sources))
    chosen: dict[str, Item] = {}
    for item in found:
        if isinstance(item, Item):
            first = chosen.setdefault(_sha256(item), item)
            if item.source in before.sources and first.source not in before.sources:
                chosen[_sha256(item)] = item
    items, rejects = [], []
    for source, item in zip(sources, found, strict=True):
        if isinstance(item, OSError):
            reason = f"cannot be read: {item.strerror or item}"
            rejects.append(Reject(source=source.name, clip="", stage=stage, reason=reason, fault=True))
        elif takedown := _taken_down([_sha256(item), *contents(item)] if before.taken_down else [], before):
            forget(item)
            rejects.append(refusal(takedown, stage))
        elif (other := chosen[_sha256(item)]) is not item:
            reason = f"same bytes as {other.source}"
            rejects.append(Reject(source=source.name, clip="", stage=stage, reason=reason, fault=False))
        else:
            items.append(item)
    return Batch(items=tuple(items), rejects=tuple(dict.fromkeys(rejects)))


def refusal(takedown: Takedown, stage: str) -> Reject:
    """The reject of what was taken down: by the takedown's id, so that the dataset names it nowhere."""
    return Reject(
        source=f"takedown {takedown.id}",
        clip="",
        stage=stage,
        reason="taken down: takedowns.jsonl says what and why; it may be removed from the sources",
        fault=False,
    )


def _sha256(item: Item) -> str:
    return item.part.split()[0]


def _taken_down(shas: Sequence[str], before: Committed) -> Takedown | None:
    return next((before.taken_down[sha] for sha in shas if sha in before.taken_down), None)
