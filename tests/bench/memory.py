"""Peak memory of probe and shots: a video of ten minutes against one of one minute, each in a process of its own.

The frames are small (said in the result), so that making and encoding ten minutes of them stays quick; what is held per
frame, if anything, shows all the same. `floor` is the same process with the stages imported and nothing read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.make_videos import write_video

ROOT = Path(__file__).resolve().parent.parent.parent
FPS = 25
SHOT_S = 17
_CHILD = """
import sys
from pathlib import Path
from datasets.store import Store
from tasks.batch import Batch, Env
from tasks.probe import Config as ProbeConfig, probe, source_item
from tasks.shots import Config as ShotsConfig, shots

clips = 0
if len(sys.argv) > 1:
    env = Env(store=Store(sys.argv[2]))
    batch = probe.fn(Batch(items=(source_item(sys.argv[1], "film.mp4", env.store),)), ProbeConfig(), env)
    clips = len(shots.fn(batch, ShotsConfig(), env).items)
# Not ru_maxrss: it keeps the parent's peak from before exec.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1024, clips)
"""


def film(seconds: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Shots of SHOT_S seconds: noise that drifts, another in every shot."""
    height, width = size
    for first in range(0, seconds * FPS, SHOT_S * FPS):
        rng = np.random.default_rng(first)
        blocks = rng.integers(20, 235, (height // 10 + 1, width // 10 + 60, 3), np.uint8)
        wall = np.kron(blocks, np.ones((10, 10, 1), np.uint8))
        for i in range(min(SHOT_S * FPS, seconds * FPS - first)):
            yield wall[:height, i : i + width]


def peak_mb(*arguments: str) -> tuple[float, int]:
    """Peak resident memory of a fresh process that runs the stages, MB, and the clips it made."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    peak, clips = done.stdout.split()[-2:]
    return float(peak), int(clips)


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="half a minute against five, smaller still")
    quick = parser.parse_args(argv).quick
    short_s, long_s, size = (30, 300, (90, 160)) if quick else (60, 600, (180, 320))
    peaks: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seconds in (short_s, long_s):
            path = Path(folder) / f"{seconds}.mp4"
            write_video(
                path,
                film(seconds, size),
                rate=Fraction(FPS),
                options={"preset": "ultrafast", "crf": "23"},
                clicks=range(1, seconds),
            )
            peaks[seconds], clips = peak_mb(str(path), str(Path(folder) / f"store{seconds}"))
            want = -(-seconds // SHOT_S)
            if clips < want:
                raise SystemExit(f"want {want} clips or more of {seconds} s, got {clips}: nothing was measured")
    floor, _ = peak_mb()
    sizes = f"{size[1]}x{size[0]}, {FPS} fps, AAC sound, {short_s} s against {long_s} s; floor {floor:.0f} MB"
    row = {
        "what": "peak RSS of probe + shots, MB: long video (ours) against short (other)",
        "ours": round(peaks[long_s], 1),
        "other": round(peaks[short_s], 1),
        "ratio": round(peaks[long_s] / peaks[short_s], 3),
        "above_floor": round((peaks[long_s] - floor) / max(peaks[short_s] - floor, 1e-9), 3),
        "sizes": sizes,
    }
    print(json.dumps({"bench": "memory", "rows": [row]}))


if __name__ == "__main__":
    main()
