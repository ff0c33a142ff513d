"""Where a source lies -> its files on this machine: a path as it is, an address as a copy with what belongs to it."""

from __future__ import annotations

import errno
import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from datasets import remote_source
from datasets.perception_beside import ENDINGS, SAV_ENDINGS
from datasets.remote import Stat, is_address, join

ARRAYS = (".npz", ".npy", ".pkl")
SCENES = (".yaml", ".yml", ".json")
# A follower's and a leader's file, as in tasks/backends/motion_files.py.
_PAIRED = re.compile(r"(.*_)0([01])(\.npy|\.pkl)", re.S)


def video_here(path: str) -> str:
    """A video's path on this machine, with what was brought beside it. Raises OSError."""
    if not is_address(path):
        return path
    return str(remote_source.copied({path: _there(path), **_beside(path)}, path))


def beside_here(path: str) -> str | None:
    """A video's path where the files brought beside it are found, the video itself perhaps not; None: there are none.

    Raises OSError.
    """
    if not is_address(path):
        return path
    files = _beside(path)
    return str(remote_source.copied(files, path)) if files else None


def motion_here(path: str, named: Callable[[Path], list[str]]) -> str:
    """A motion's or scene's path on this machine, with the files that are one motion with it.

    `named` gives the motions that a scene file names, relative to its folder. Raises OSError.
    """
    if not is_address(path):
        return path
    folder, ending = path.rpartition("/")[0], posixpath.splitext(path)[1].lower()
    if ending not in SCENES:
        return str(remote_source.copied(_motion(path), path))
    files = {path: _there(path)}
    scene = remote_source.copied(files, path)
    for name in dict.fromkeys(named(scene)):
        try:
            files |= _motion(join(folder, posixpath.normpath(name)))
        except FileNotFoundError:
            continue  # the stage will say that it is missing
    return str(remote_source.copied(files, path))


def _there(path: str) -> Stat:
    found = remote_source.stat(path)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, "No such file", path)
    return found


def _beside(video: str) -> dict[str, Stat]:
    """What stands beside a video, by name (see datasets/perception_beside.py): one listing, at most two questions."""
    folder, _, name = video.rpartition("/")
    stem = posixpath.splitext(name)[0]
    found = {
        join(folder, one): stat
        for one, stat in remote_source.beginning(folder, f"{stem}.").items()
        if any(one == stem + ending or one.startswith(f"{stem}{ending}/") for ending, _ in ENDINGS)
    }
    sav = [join(folder, stem + ending) for ending in SAV_ENDINGS]
    return found | remote_source.many(sav)


def _motion(path: str) -> dict[str, Stat]:
    """The files that a motion consists of: one, a pair, or those in a folder."""
    if posixpath.splitext(path)[1].lower() not in ARRAYS:
        inside = remote_source.beginning(path, "")
        files = {join(path, name): stat for name, stat in inside.items() if "/" not in name and name.endswith(".npz")}
        if not files:
            raise FileNotFoundError(errno.ENOENT, "No such file", path)
        return files
    files = {path: _there(path)}
    pair = _PAIRED.fullmatch(path)
    if pair is not None:
        files |= remote_source.many([f"{pair[1]}0{1 - int(pair[2])}{pair[3]}"])
    return files
