"""The corpus made, run through the real commands, and what became of each case held to what must become of it."""

from __future__ import annotations

import contextlib
import http.server
import io
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from datasets.members import ShardError
from datasets.store import Store
from datasets.stream import ShardStream
from datasets.verify import verify
from flows.intake import take_in
from flows.sources import find_sources
from tasks import bring, probe, shots
from tasks.batch import Env
from tests import tiny_weights
from tests.hostile import beside, motions, usage, videos
from tests.hostile import shards as tars
from tests.hostile.case import Canary, Case
from tests.prefect_server import Server
from tests.tiny_runs import TINY, Done, run

WEIGHTS = ("rtmdet-nano", "rtmpose-m", "reid-0248", "yunet")
# Test-made networks, and a judge who takes whoever they find: what counts is which file is read.
FOOTAGE = (
    "pose.estimator=rtmpose-m", "refine.estimator=none", "identify.looks=0", "shots.min_s=0.1", "judge.min_height=0",
    "judge.min_coverage=0", "judge.min_body=0", f"bring.memory_mb={beside.MEMORY_MB}",
)  # fmt: skip
MOTION = (*TINY, "motion.compose=each", "judge.min_people=1")
LOOKED_AT = ("8k.mp4", "frozen.mp4")
SECRET = "canary-3f1c9a"


@dataclass
class Result:
    """What became of one case."""

    case: Case
    got: str  # an Outcome, or what else
    reason: str = ""

    @property
    def right(self) -> bool:
        """Whether that is what must become of it."""
        return self.got == self.case.outcome and re.search(self.case.text, self.reason) is not None


@dataclass
class Report:
    """All of them, and what happened beside."""

    results: list[Result] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)  # crashes, escapes

    @property
    def wrong(self) -> list[Result]:
        """Those that became something else."""
        return [result for result in self.results if not result.right]


@contextlib.contextmanager
def watched(root: Path) -> Iterator[tuple[Canary, list[str]]]:
    """A canary file and a canary address, and a list that fills with whoever asks for either."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"somebody asked for {self.path}")
            self.send_error(404)

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    file = root / "canary" / "canary.mp4"
    file.parent.mkdir(parents=True)
    file.write_text(SECRET)
    try:
        yield Canary(file, f"http://127.0.0.1:{server.server_address[1]}"), asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        if sorted(os.listdir(file.parent)) != ["canary.mp4"] or file.read_text() != SECRET:
            asked.append(f"the folder of the canary changed: {sorted(os.listdir(file.parent))}")


def make(cases: Sequence[Case], folder: Path) -> None:
    """Write the input of every case into a folder."""
    folder.mkdir(parents=True)
    for case in cases:
        case.make(folder / case.file)


def footage(server: Server, root: Path, canary: Canary) -> Report:
    """The videos, through one run."""
    tiny_weights.write(root / "weights", WEIGHTS)
    cases = [*videos.cases(canary), *beside.cases(canary)]
    make(cases, root / "footage" / "in")
    more = ("--preset", "light", "--weights", root / "weights")
    return _built(server, root / "footage", cases, more, FOOTAGE, canary)


def read_footage(root: Path, canary: Canary) -> Report:
    """The videos through the stages that open them, in this process: what a run does, without its networks."""
    cases = [*videos.cases(canary), *beside.cases(canary)]
    place = root / "read"
    make(cases, place / "in")
    env = Env(store=Store(str(place / "store")))
    files = find_sources([str(place / "in")], kinds=["video"])
    taken = take_in(files, lambda file: probe.source_item(file.path, file.name, env.store), stage="probe")
    brought = bring.Config(memory_mb=beside.MEMORY_MB)
    probed = bring.bring.fn(probe.probe.fn(taken, probe.Config(), env), brought, env)
    read = shots.shots.fn(probed, shots.Config(min_s=0.1), env)
    reasons: dict[str, str] = {}
    for reject in read.rejects:
        reasons[reject.source] = f"{reasons.get(reject.source, '')} {reject.reason}".strip()
    report = Report(results=[_result(case, [item.source for item in read.items], reasons) for case in cases])
    # Nobody is looked for here: whether a picture shows people, and moves, the whole run says.
    for result in report.results:
        if result.got == "accepted" and result.case.file in LOOKED_AT:
            result.got, result.reason = result.case.outcome, "no people found, or one that stands still"
    report.trouble += [f"the canary's words are in {path}" for path in _spilt(place / "store")]
    return report


def motion(server: Server, root: Path, canary: Canary) -> Report:
    """The motion and scene files, through one run."""
    cases = motions.cases(canary)
    make(cases, root / "motion" / "in")
    return _built(server, root / "motion", cases, (), MOTION, canary)


def _built(
    server: Server,
    place: Path,
    cases: Sequence[Case],
    more: Sequence[object],
    settings: tuple[str, ...],
    canary: Canary,
) -> Report:
    out, store = place / "out", place / "store"
    arguments = (place / "in", "--out", out, "--store", store, "--runner", "threads:1", "--max-failed-fraction", 1)
    done = run(server, *arguments, *more, settings=settings)
    report = Report()
    if done.code != 0:
        report.trouble.append(f"the run ended with {done.code}: {done.err[-3000:]}")
        return report
    report.trouble += _looks_of(done)
    sources = pq.read_table(out / "index.parquet").column("source").to_pylist()
    # Of a source whose clips were dropped, the clips' reasons are the ones that say why.
    reasons: dict[str, str] = {}
    for row in pq.read_table(out / "rejects.parquet").to_pylist():
        reasons[row["source"]] = f"{reasons.get(row['source'], '')} {row['reason']}".strip()
    report.results = [_result(case, sources, reasons) for case in cases]
    report.trouble += [f"the canary's words are in {path}" for path in _spilt(out, store)]
    report.trouble += [f"{one.file}: {one.what}" for one in verify(out).problems]
    return report


def _looks_of(done: Done) -> list[str]:
    return [f"a traceback in what the run said: {done.err[-3000:]}"] if "Traceback" in done.err else []


def _result(case: Case, sources: Sequence[str], reasons: dict[str, str]) -> Result:
    if any(case.file in source.split(" + ") for source in sources):
        return Result(case, "accepted", reasons.get(case.file, ""))
    if case.file in reasons:
        return Result(case, "rejected", reasons[case.file])
    return Result(case, "unseen")


def _spilt(*folders: Path) -> Iterator[Path]:
    """Files in which the canary's words stand."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and SECRET.encode() in path.read_bytes():
                yield path


def datasets_of(root: Path, canary: Canary) -> Report:
    """The datasets: what verify says, and that a reader meets a clear error or reads what is whole."""
    report = Report()
    cases = tars.cases(tars.good_dataset(root / "shards"), canary)
    make(cases, root / "shards" / "in")
    for case in cases:
        folder = root / "shards" / "in" / case.file
        try:
            problems = verify(folder).problems
            said = " | ".join(f"{one.file} {one.member} {one.what}" for one in problems)
            report.results.append(Result(case, "named" if problems else "unseen", said))
            for source in (str(folder), [str(folder / tars.SHARD)]):
                with contextlib.suppress(ShardError):
                    list(ShardStream(source))
        except Exception as error:
            report.trouble.append(f"{case.file}: {type(error).__name__}: {error}")
    return report


def commands(root: Path, source: Path) -> Report:
    """The commands, in this process."""
    from flows.build_dataset import main

    report = Report()
    for case in usage.cases():
        said = io.StringIO()
        option, _, value = case.file.partition(" ")
        with contextlib.redirect_stderr(said):
            code = main([str(source), option, value, "--out", str(root / "usage"), "--store", str(root / "no-store")])
        report.results.append(Result(case, "usage" if code == 2 else f"exit code {code}", said.getvalue()))
    return report


def everything(server: Server, root: Path) -> Report:
    """The whole corpus in a new folder; the time that each part took is said on standard output."""
    shutil.rmtree(root, ignore_errors=True)
    whole = Report()
    with watched(root) as (canary, asked):
        for name, part in (
            ("footage", lambda: footage(server, root, canary)),
            ("motion", lambda: motion(server, root, canary)),
            ("datasets", lambda: datasets_of(root, canary)),
            ("commands", lambda: commands(root, root / "footage" / "in" / "good.mp4")),
        ):
            began = time.monotonic()
            report = part()
            print(f"{name}: {len(report.results)} cases in {time.monotonic() - began:.0f} s", flush=True)
            whole.results += report.results
            whole.trouble += report.trouble
    whole.trouble += asked
    return whole
