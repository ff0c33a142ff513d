"""Batches -> dataset: what was judged, as shards, tables and a card; tasks/ops/shard_plan.py says what goes where.

Hold `datasets.lock.building(out)` around the three steps: plan, one write a shard in any order and process, commit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets import index, recover, versions
from datasets.disk import disk_error
from datasets.folder import Folder, LocalFolder, open_folder
from datasets.members import FORMAT, ShardError, encode_sample
from datasets.remote import is_address
from datasets.shards import Placed, Sidecar, encode_sidecar, finished
from datasets.shards import write_shard as write_tar
from tasks.batch import Batch, Item, Reject
from tasks.ops import shard_plan
from tasks.ops.dataset_card import dataset_card
from tasks.shipped import VERSION as VERSION
from tasks.shipped import Shipped, bundle_of, ship

# Items looked at side by side where their files have to be fetched.
AT_A_TIME = 16


@dataclass(frozen=True, kw_only=True)
class Config:
    """How samples are laid out."""

    name: str = "duetflow"  # of the dataset, in its card
    target_bytes: int = 256 << 20  # about the size of a shard
    val_fraction: float = 0.05  # share of the sources
    test_fraction: float = 0.05
    seed: int = 0  # of the split
    reshard: bool = False  # spread all samples anew: after many additions and takedowns


@dataclass(frozen=True, kw_only=True)
class Job:
    """One shard to be written, or found already whole."""

    path: str  # under OUT
    made_from: str
    items: tuple[tuple[Item, str], ...]  # in order, each with its digest
    committed: str = ""  # sha256 of the sidecar that was committed under this path


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole dataset to be."""

    config: Config
    configuration: str
    jobs: tuple[Job, ...]
    shipped: dict[str, Shipped]  # by key
    rejects: tuple[Reject, ...]


@dataclass(frozen=True, kw_only=True)
class Written:
    """A whole shard."""

    path: str
    sidecar: Sidecar
    reused: bool


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a build left."""

    out: str
    samples: int
    accepted: int
    review: int
    rejected: int
    shards: int
    written: int
    reused: int
    removed: int  # shards of an older generation
    bytes: int
    generation: int


def splitter(config: Config) -> Callable[[str], str]:
    """A source's sha256 -> the split that it goes to, when nothing ties it to another source."""
    return partial(
        shard_plan.split_of,
        seed=config.seed,
        val_fraction=config.val_fraction,
        test_fraction=config.test_fraction,
    )


def plan_shards(batches: Sequence[Batch], config: Config, out: str | Path, *, configuration: str = "") -> Plan:
    """Which sample goes into which shard, from what is committed in OUT and what was judged: these and no others.

    `configuration` is the digest of the run's whole configuration. Reads only small files. Raises ShardError when a
    dataset of another format is committed in OUT.
    """
    shipped, rejects = dict[str, Shipped](), [reject for batch in batches for reject in batch.rejects]
    items = sorted((item for batch in batches for item in batch.items), key=lambda item: (item.key, item.source))
    for item, one in zip(items, _shipped(items), strict=True):
        if isinstance(one, Exception):
            full = disk_error(one)
            if full:
                raise full from one
            rejects.append(_reject(item, f"{type(one).__name__}: {one}", fault=True))
            continue
        if one.entry.verdict == "rejected":
            rejects.append(_reject(item, "; ".join(one.row["reasons"]), fault=False, stage="judge"))
        elif item.key in shipped:
            rejects.append(_reject(item, f"the same clip as in {shipped[item.key].item.source}", fault=False))
        else:
            shipped[item.key] = one
    shipped = _split(shipped, config)
    planned = shard_plan.plan(
        [one.entry for one in shipped.values()],
        recover.committed_samples(open_folder(out), {key: one.entry.digest for key, one in shipped.items()}),
        target_bytes=config.target_bytes,
        reshard=config.reshard,
    )
    sidecars = recover.committed_sidecars(open_folder(out))
    jobs = tuple(
        Job(
            path=p.path,
            made_from=p.made_from,
            items=tuple((shipped[k].item, shipped[k].entry.digest) for k in p.keys),
            committed=sidecars.get(p.path, ""),
        )
        for p in planned
    )
    ordered = dict.fromkeys(sorted(rejects, key=lambda r: (r.source, r.clip, r.stage, r.reason)))
    return Plan(config=config, configuration=configuration, jobs=jobs, shipped=shipped, rejects=tuple(ordered))


def write_shard(job: Job, out: str | Path) -> Written:
    """The shard of a job, written unless a whole one made from the same is there."""
    folder = open_folder(out)
    found = finished(job.path, job.made_from, folder, job.committed)
    if found:
        return Written(path=job.path, sidecar=found, reused=True)
    samples = ((item.key, digest, encode_sample(bundle_of(item))) for item, digest in job.items)
    return Written(path=job.path, sidecar=write_tar(job.path, samples, folder), reused=False)


def commit_dataset(plan: Plan, written: Sequence[Written], out: str | Path) -> Summary:
    """Tables, card and at last dataset.json over the plan's shards; then what an older plan left is removed.

    Raises ShardError when a shard of the plan was not written.
    """
    folder, by_path = open_folder(out), {one.path: one for one in written}
    missing = [job.path for job in plan.jobs if job.path not in by_path]
    if missing:
        raise ShardError(f"dataset: want every planned shard written, got none of {', '.join(missing)}")
    shards = {job.path: by_path[job.path].sidecar for job in plan.jobs}
    placed = sorted(((at, path) for path, side in shards.items() for at in side.samples), key=lambda pair: pair[0].key)
    rows = [_row(plan.shipped[at.key], at, path) for at, path in placed]
    scores = [plan.shipped[at.key].scores for at, _ in placed]
    table = index.encode_index(rows, scores)
    reject_rows = [_reject_row(reject) for reject in plan.rejects]
    turned_away = index.encode_rejects(reject_rows)
    files = {index.INDEX: index.sha256(table), index.REJECTS: index.sha256(turned_away)}
    info = _generation(folder, _info(plan, shards, rows, reject_rows, files))
    weights = {name: digest for one in plan.shipped.values() for name, digest in one.weights.items()}
    card = dataset_card(info, rows, reject_rows, weights)
    versions.keep(folder, info, table, turned_away, card)
    index.commit(folder, info, table, turned_away, card)
    return Summary(
        out=str(out),
        samples=len(rows),
        accepted=info.counts["accepted"],
        review=info.counts["review"],
        rejected=len(plan.rejects),
        shards=len(shards),
        written=sum(not by_path[path].reused for path in shards),
        reused=sum(by_path[path].reused for path in shards),
        removed=_sweep(folder, set(shards)),
        bytes=sum(side.bytes for side in shards.values()),
        generation=info.generation,
    )


@task(name="plan shards", cache_policy=NO_CACHE, persist_result=False)
def plan(batches: Sequence[Batch], config: Config, out: str, configuration: str) -> Plan:
    """`plan_shards` as a task."""
    return plan_shards(batches, config, out, configuration=configuration)


@task(name="shard", task_run_name="shard {job.path}", cache_policy=NO_CACHE, persist_result=False)
def shard(job: Job, out: str) -> Written:
    """`write_shard` as a task: one writer a shard."""
    return write_shard(job, out)


@task(name="commit dataset", cache_policy=NO_CACHE, persist_result=False)
def commit(plan: Plan, written: Sequence[Written], out: str) -> Summary:
    """`commit_dataset` as a task."""
    return commit_dataset(plan, written, out)


def _shipped(items: Sequence[Item]) -> Iterator[Shipped | Exception]:
    """`ship` of each item, several at a time: at an address each waits for a few small files."""

    def attempt(item: Item) -> Shipped | Exception:
        try:
            return ship(item)
        except (OSError, ValueError, KeyError) as error:
            return error

    remote = any(is_address(one.path) for item in items[:1] for one in item.artifacts.values())
    if not remote:
        yield from map(attempt, items)
        return
    with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
        yield from pool.map(attempt, items)


def _split(shipped: dict[str, Shipped], config: Config) -> dict[str, Shipped]:
    """Every sample with its group and split."""
    groups = shard_plan.split_groups({key: one.row["parts"] for key, one in shipped.items()})
    out = {}
    for key, one in shipped.items():
        split = shard_plan.split_of(groups[key], config.seed, config.val_fraction, config.test_fraction)
        row = {name: value for name, value in one.row.items() if name != "parts"}
        row |= {"split_group": groups[key], "split": split}
        out[key] = replace(one, entry=replace(one.entry, split=split), row=row)
    return out


def _row(one: Shipped, at: Placed, path: str) -> dict[str, Any]:
    return {**one.row, "shard": path, "offset": at.offset, "size": at.size}


def _info(
    plan: Plan,
    shards: dict[str, Sidecar],
    rows: Sequence[dict[str, Any]],
    rejects: Sequence[dict[str, Any]],
    files: dict[str, str],
) -> index.DatasetInfo:
    infos = (
        index.ShardInfo(
            path=path,
            count=side.count,
            bytes=side.bytes,
            sha256=side.sha256,
            made_from=side.made_from,
            sidecar=index.sha256(encode_sidecar(side)),
        )
        for path, side in shards.items()
    )
    return index.DatasetInfo(
        format=FORMAT,
        name=plan.config.name,
        generation=1,
        configuration=plan.configuration,
        counts=index.count(rows, rejects, [side.bytes for side in shards.values()]),
        files=files,
        shards=tuple(infos),
    )


def _generation(folder: Folder, info: index.DatasetInfo) -> index.DatasetInfo:
    """The next generation, or the committed one when nothing changed."""
    before = recover.committed(folder)
    if before is None or replace(info, generation=before.generation) == before:
        return before or info
    return replace(info, generation=before.generation + 1)


def _sweep(folder: Folder, keep: set[str]) -> int:
    """Remove shards of older plans and what a killed run left aside; the number of shards removed."""
    removed = 0
    for name in [*folder.names("shards"), *folder.names("review"), *folder.names(versions.VERSIONS), *_hidden(folder)]:
        shard = name.removesuffix(".json") + ".tar" if name.endswith(".json") else name
        old = shard_plan.SHARD_PATH.fullmatch(shard) and shard not in keep
        aside = re.fullmatch(r"\.[a-zA-Z0-9.-]+\.[0-9]+\.[0-9a-f]{8}", Path(name).name)
        if old or aside:
            folder.remove(name)
            removed += bool(old) and name.endswith(".tar")
    return removed


def _hidden(folder: Folder) -> list[str]:
    """Hidden files of the folder itself: only on a file system are files first written aside there."""
    if not isinstance(folder, LocalFolder):
        return []
    return sorted(path.name for path in folder.root.glob(".*") if path.is_file())


def _reject(item: Item, reason: str, *, fault: bool, stage: str = "shard") -> Reject:
    return Reject(source=item.source, clip=item.key, stage=stage, reason=" ".join(reason.split()), fault=fault)


def _reject_row(reject: Reject) -> dict[str, Any]:
    names = [field.name for field in index.REJECT_COLUMNS]
    return {name: getattr(reject, name) for name in names}
