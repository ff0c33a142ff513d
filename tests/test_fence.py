"""The fence: what happens behind it does no harm, and becomes a reject with its reason."""

from __future__ import annotations

import os
import pickle
import re
import select
import signal
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from datasets.store import Store, content_key
from tasks import fence as fences
from tasks import probe_file
from tasks.backends.sandbox import Limits
from tasks.batch import Batch, Env, Refused
from tasks.fence import Crashed, Fence
from tasks.probe import Config, probe, source_item
from tests import fenced_calls as calls
from tests.make_videos import numbered, write_video

FENCE = Fence(stage="probe", name="a.mp4", limits=Limits(budget_s=20, memory_mb=2000), reads=())
# For what never ends; anything else may take longer than this on a busy machine.
HASTY = replace(FENCE, limits=replace(FENCE.limits, budget_s=1))


def warm_pid() -> int:
    """The warm process of this thread."""
    assert FENCE.call(calls.double, 1) == 2
    return fences._here.warm.pid


@pytest.mark.parametrize(
    ("call", "said"),
    [
        pytest.param(lambda: FENCE.call(calls.segfault), r"crashed \(SIGSEGV\)", id="a crash in C"),
        pytest.param(lambda: FENCE.call(calls.abort), r"crashed \(SIGABRT\)", id="an assertion in C"),
        pytest.param(
            lambda: HASTY.call(calls.hang), r"within 1 s, got no end; .* probe.budget_s", id="waiting for ever"
        ),
        pytest.param(lambda: HASTY.call(calls.spin), r"within 1 s, got no end; .* probe.budget_s", id="a loop"),
        pytest.param(lambda: FENCE.call(calls.grow, 4000), r"at most 2000 MB .* probe.memory_mb", id="all memory"),
        pytest.param(lambda: FENCE.call(calls.say, 20 << 20), r"crashed \(SIGKILL\)", id="an answer without end"),
        pytest.param(lambda: FENCE.call(calls.forge, pickle.dumps(print)), "no answer", id="a pickle for an answer"),
        pytest.param(lambda: FENCE.call(calls.forge, b"[" * 100_000), "no answer", id="JSON too deep to read"),
    ],
)
def test_what_crashes_is_told_and_the_next_call_goes_on(call, said: str) -> None:
    before = warm_pid()
    with pytest.raises(Crashed, match=said) as caught:
        call()
    assert str(caught.value).startswith("a.mp4: ")
    assert warm_pid() == before, "the warm process saw nothing of it"


def test_errors_come_through_as_what_they_are() -> None:
    with pytest.raises(Refused, match=r"^no such dance$"):
        FENCE.call(calls.refuse, "no such dance")
    with pytest.raises(ZeroDivisionError, match="by nought"):
        FENCE.call(calls.fail, "ZeroDivisionError", "by nought")
    with pytest.raises(FileNotFoundError) as caught:
        FENCE.call(calls.read, "/no/such/file")
    assert (caught.value.filename, caught.value.strerror) == ("/no/such/file", "No such file or directory")
    with pytest.raises(ValueError, match=r"^a b \[31m$"):
        FENCE.call(calls.fail, "ValueError", "a\nb\x00\x1b[31m")


def test_nothing_of_one_file_is_there_for_the_next() -> None:
    assert [FENCE.call(calls.leave_a_mark) for _ in range(2)] == [False, False]


def test_only_named_files_are_opened(tmp_path: Path) -> None:
    named, other, out = tmp_path / "named.txt", tmp_path / "other.txt", tmp_path / "out"
    named.write_text("named")
    other.write_text("other")
    out.mkdir()
    (tmp_path / "link.txt").symlink_to(other)
    fence = replace(FENCE, reads=(str(named),), writes=(str(out),))
    if not FENCE.call(calls.protections)["landlock"]:
        pytest.skip("needs a kernel with Landlock")
    assert fence.call(calls.read, str(named)) == "named"
    fence.call(calls.write, str(out / "made.txt"))
    for path in (other, tmp_path / "link.txt", Path("/etc/passwd"), Path.home()):
        with pytest.raises(PermissionError):
            fence.call(calls.read, str(path))
    for path in (named, tmp_path / "new.txt", Path("/tmp/fence-was-here")):
        with pytest.raises(PermissionError):
            fence.call(calls.write, str(path))
    with pytest.raises(PermissionError):
        fence.call(calls.link, str(out / "link"), "/etc/passwd")


def test_a_link_in_what_was_made_is_refused(tmp_path: Path) -> None:
    # As where the kernel has no Landlock: the link is there when the call is done.
    (tmp_path / "source.npz").symlink_to("/etc/passwd")
    with pytest.raises(Crashed, match=r"want plain files from its reader, got source\.npz"):
        replace(FENCE, writes=(str(tmp_path),)).call(calls.double, 1)


def test_no_socket_no_program_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FENCE_TEST_SECRET", "s3cret")
    fences.stop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        found = FENCE.call(calls.attempts, server.getsockname())
        with pytest.raises(TimeoutError):
            server.accept()
    assert "done" not in found.values(), found


def test_each_thread_has_its_own_and_it_ends_with_the_thread() -> None:
    pids: list[int] = []
    thread = threading.Thread(target=lambda: pids.append(warm_pid()))
    thread.start()
    thread.join()
    assert pids[0] != warm_pid()
    handle = os.pidfd_open(pids[0]) if Path(f"/proc/{pids[0]}").exists() else None
    if handle is not None:
        assert select.select([handle], [], [], 10)[0], "it outlives its thread"


def test_a_killed_warm_process_is_replaced() -> None:
    os.kill(warm_pid(), signal.SIGKILL)
    assert FENCE.call(calls.double, 4) == 8


def test_limits_change_no_key() -> None:
    keys = [
        content_key("probe", 1, c, [], {}) for c in (Config(), Config(budget_s=9, memory_mb=999), Config(max_frames=9))
    ]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("settings", [{"budget_s": 0}, {"memory_mb": 100}, {"max_pixels": 0}, {"max_expansion": 0}])
def test_limits_that_nothing_fits_into(settings: dict) -> None:
    with pytest.raises(ValueError, match="probe: want"):
        Config(**settings)


def probed(paths: list[Path], store: Path, config: Config) -> Batch:
    env = Env(store=Store(str(store)))
    return probe.fn(Batch(items=tuple(source_item(p, p.name, env.store) for p in paths)), config, env)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param(
            {"max_pixels": 9000}, r"at most 0 million pixels, got 2 million; .*probe\.max_pixels", id="pixels"
        ),
        pytest.param({"budget_s": 1e-4}, r"within 0 s, got no end; .*probe\.budget_s", id="time"),
        # libx264's files are decoded by code that does not expect to be refused memory.
        pytest.param({"memory_mb": 300}, r"crashed \(SIG|MB of memory|no answer", id="memory, and the codec crashes"),
    ],
)
def test_a_file_past_its_limits_is_a_reject(settings: dict, said: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tasks.probe._S_PER_MB", 0.0)
    monkeypatch.setattr("tasks.probe.check_limits", lambda *_: None)
    good = write_video(tmp_path / "good.mp4", numbered(3))
    large = write_video(tmp_path / "large.mp4", numbered(2, (1080, 1920)))
    if "max_pixels" in settings:
        good = write_video(good, numbered(3, (48, 48)))
    batch = probed([large, good], tmp_path / "store", Config(**settings))
    assert re.search(said, batch.rejects[0].reason), batch.rejects
    if "memory_mb" in settings:
        assert batch.rejects[0].fault
        batch = probed([good], tmp_path / "store", Config())
    if "budget_s" not in settings:
        assert [item.source for item in batch.items] == ["good.mp4"]


def test_pixels_out_of_nothing_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.video_source.FREE_PIXELS", 0.0)
    path = write_video(tmp_path / "a.mp4", numbered(50))
    with pytest.raises(Refused, match=r"small file that becomes very large .* probe\.max_expansion"):
        probe_file.probe_file(
            str(path), tmp_path / "source.npz", name="a.mp4", sha256="0" * 64, licence="", max_lost=0.1, max_frames=99,
            max_pixels=10**6, max_expansion=10.0, max_hold_s=60,
        )  # fmt: skip
