"""A small disk that can be filled, and a folder that can be made read-only: root writes through permissions."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

MEGABYTES = 700  # the command wants half a gigabyte free to begin with


def can_mount() -> str:
    """Empty when this process may mount file systems; else why it may not."""
    if os.geteuid() != 0:
        return "mounting needs root"
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return f"mounting is not allowed here: {done.stderr.strip()}"
        subprocess.run(["umount", folder], check=True)
    return ""


def unmount_all(folder: Path) -> None:
    """Take away what events that were cut short left mounted under a folder."""
    places = [line.split(" ")[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in places:
        if Path(place).is_relative_to(folder):
            subprocess.run(["umount", "--lazy", place], check=True)


class _Mounted:
    """A mount for as long as this lasts."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._mounts = folder, 1

    def __exit__(self, *raised: object) -> None:
        for _ in range(self._mounts):
            subprocess.run(["umount", "--lazy", str(self._folder)], check=True)


class Full(_Mounted):
    """A tmpfs under what a folder holds; afterwards the folder holds what was left in it."""

    def __enter__(self) -> Full:
        held = self._folder.with_name(f"{self._folder.name}.held")
        self._folder.rename(held)
        self._folder.mkdir()
        options = f"size={MEGABYTES}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self._folder)], check=True)
        shutil.copytree(held, self._folder, dirs_exist_ok=True)
        shutil.rmtree(held)
        return self

    def fill(self) -> None:
        """Not a byte more fits."""
        with (self._folder / "ballast").open("wb") as file:
            block = b"\0" * (1 << 20)
            try:
                while True:
                    file.write(block)
                    file.flush()
            except OSError:
                return

    def empty(self) -> None:
        """There is room again."""
        (self._folder / "ballast").unlink()

    def __exit__(self, *raised: object) -> None:
        kept = self._folder.with_name(f"{self._folder.name}.kept")
        shutil.copytree(self._folder, kept)
        super().__exit__(*raised)
        self._folder.rmdir()
        kept.rename(self._folder)


class Bound(_Mounted):
    """A folder mounted over itself."""

    def __enter__(self) -> Bound:
        self._folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", str(self._folder), str(self._folder)], check=True)
        return self

    def read_only(self) -> None:
        """From now on nothing can be written through it, not even by root."""
        # A second mount over the first: files that are open for writing, such as a lock, keep that one busy.
        subprocess.run(["mount", "--bind", str(self._folder), str(self._folder)], check=True)
        self._mounts += 1
        subprocess.run(["mount", "-o", "remount,bind,ro", str(self._folder)], check=True)
