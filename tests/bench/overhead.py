"""What orchestration costs: the command with one worker beside a plain loop over the same stage functions.

    python -m tests.bench.overhead [--quick]

Motion -> duets of stamp size, a real build of everything up to shards and page. Both are processes of their own, timed
from launch to end, on one core's worth of work, and start from an empty store; the command's Prefect server is warm.
The loop calls each stage's own function for one clip after another, then writes the same shards, tables and page.
A command with nothing to do is timed beside it, with the warm server and with none.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.prefect_server import running_server
from tests.tiny_runs import ROOT, TINY, command, digests, environment, tiny_motion

MOTIONS, CAMERAS = 30, 10  # 200 clips
QUICK_MOTIONS, QUICK_CAMERAS = 3, 2


def plain(motions: str, out: str, store: str, settings: Sequence[str]) -> int:
    """The build as a loop, in this process. Gives how many clips there were."""
    from flows.intake import motion_items
    from flows.run import Options, prepare
    from flows.settings import digest
    from tasks import motion, shard
    from tasks.batch import Batch
    from tasks.judge import judge
    from tasks.render import render
    from tasks.report import report
    from tasks.report_page import write_report

    run = prepare(Options(sources=(motions,), out=out, store=store, settings=tuple(settings), runner="threads:1"))
    Path(out).mkdir(parents=True, exist_ok=True)
    read = [motion.motion.fn(Batch(items=(item,)), run.config.motion, run.env) for item in motion_items(run).items]
    whole = Batch(items=tuple(item for batch in read for item in batch.items))
    scenes = motion.compose(whole, run.config.motion, shard.splitter(run.config.shard))
    done = []
    for item in scenes.items:
        batch = Batch(items=(item,))
        for stage in (render, judge, report):
            batch = stage.fn(batch, getattr(run.config, stage.name), run.env)
        done.append(batch)
    planned = shard.plan_shards(done, run.config.shard, out, configuration=digest(run.config))
    shard.commit_dataset(planned, [shard.write_shard(job, out) for job in planned.jobs], out)
    shipped = [planned.shipped[key].item for key in sorted(planned.shipped)]
    costs = [cost for batch in done for cost in batch.costs]
    facts = {"preset": run.preset, "configuration": digest(run.config)[:16]}
    write_report(out, shipped, sources=len(run.sources), rejects=planned.rejects, costs=costs,
                 title=run.config.shard.name, facts=facts)  # fmt: skip
    return len(shipped)


def timed(arguments: Sequence[str], env: Mapping[str, str]) -> float:
    """Wall seconds of a process. Raises RuntimeError with its words when it fails."""
    began = time.monotonic()
    done = subprocess.run(arguments, env=dict(env), cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments[:6])}: {done.stdout[-500:]}{done.stderr[-2000:]}")
    return time.monotonic() - began


def measure(folder: Path, motions: int, cameras: int, runner: str) -> list[dict[str, object]]:
    """Rows of the table."""
    for seed in range(motions):
        tiny_motion(folder / "motions" / f"m{seed:03d}.npz", seed)
    settings = (*(text for text in TINY if "cameras" not in text), f"motion.cameras={cameras}")
    home = folder / "home"
    home.mkdir()
    with running_server(home) as server:
        env = environment(server)
        loop = [sys.executable, "-m", "tests.bench.overhead", "--plain", str(folder / "motions")]
        loop_s = timed([*loop, str(folder / "loop"), str(folder / "loop.store"), *settings], env)
        ours = ["--out", str(folder / "flow"), "--store", str(folder / "flow.store"), "--runner", runner, "--json"]
        build = command(folder / "motions", *ours, settings=settings)
        flow_s = timed(build, env)
        if digests(folder / "flow") != digests(folder / "loop"):
            raise RuntimeError("the loop and the command gave other bytes")
        warm_s = timed(build, env)
    cold = {name: text for name, text in env.items() if name != "PREFECT_API_URL"}
    cold_s = timed(build, {**cold, "PREFECT_HOME": str(home)})
    clips = sum(1 for _ in (folder / "flow.store").glob("render/*/*/artifact.json"))
    sizes = f"{clips} clips, {runner}"
    ratio = flow_s / loop_s
    return [
        {"what": "build, s", "ours": flow_s, "other": loop_s, "ratio": ratio, "wanted": "<= 1.05", "sizes": sizes},
        {"what": "nothing to do, warm server, s", "ours": warm_s, "wanted": "<= 10", "sizes": sizes},
        {"what": "nothing to do, no server, s", "ours": cold_s, "wanted": "<= 25", "sizes": sizes},
    ]


def main(argv: list[str]) -> int:
    """Measure and print one line of JSON."""
    if argv[:1] == ["--plain"]:
        print(plain(argv[1], argv[2], argv[3], argv[4:]))
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.bench.overhead", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a handful of clips, to see that it runs")
    parser.add_argument("--runner", default="processes:1")
    arguments = parser.parse_args(argv)
    scratch = Path(tempfile.mkdtemp())
    try:
        motions, cameras = (QUICK_MOTIONS, QUICK_CAMERAS) if arguments.quick else (MOTIONS, CAMERAS)
        print(json.dumps({"bench": "overhead", "rows": measure(scratch, motions, cameras, arguments.runner)}))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
