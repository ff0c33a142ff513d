"""Clip, People -> People: masks and poses again, now that it is known who is who."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from datasets.records import People, load_record, save_record
from tasks.batch import Batch, Env, Item, Stage

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is done again with the identities known."""


def compute(item: Item, config: Config, env: Env, out: Path) -> None:
    """One clip's people, made better; who they are is bind's word, or a person's."""
    people = load_record(People, item.folder("bind") / "people.npz")
    save_record(people, out / "people.npz")


STAGE = Stage(name="refine", version=VERSION, inputs=("shots", "bind"), compute=compute)


@task(name="refine", cache_policy=NO_CACHE, persist_result=False)
def refine(batch: Batch, config: Config, env: Env) -> Batch:
    """One batch through this stage."""
    return STAGE.run(batch, config, env)
