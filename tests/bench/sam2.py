"""Peak memory of SAM 2's video predictor as a clip grows: ours, fed frame by frame, beside the stock one.

A hiera-tiny with random parameters and small frames, one person prompted in the first frame, each clip in a process of
its own. What is compared is how much a longer clip takes beyond a short one, MB for each hundred frames.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.tiny_sam2 import tiny_sam2_checkpoint

ROOT = Path(__file__).resolve().parent.parent.parent
_CHILD = """
import sys
from pathlib import Path
import cv2
import numpy as np
import torch

which, checkpoint, frames, side, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
torch.set_num_threads(1)
box = np.array([0.2, 0.2, 0.7, 0.8], np.float32) * side

class Noise:
    def __len__(self):
        return frames

    def __getitem__(self, t):
        return torch.from_numpy(np.random.default_rng(t).normal(0, 1, (3, side, side)).astype(np.float32))

if which == "ours":
    from tasks.backends.sam2 import predictor
    model = predictor("sam2.1-hiera-tiny", side, checkpoint, "cpu", 1)
    state = model.session(Noise(), (side, side))
    model.add_new_points_or_box(state, 0, 1, box=box)
    seen = sum(1 for _ in model.follow(state, [frames - 1], reverse=False))
else:
    from sam2.build_sam import build_sam2_video_predictor
    extra = [f"++model.image_size={side}", "++model.fill_hole_area=0"]
    model = build_sam2_video_predictor(
        "configs/sam2.1/sam2.1_hiera_t.yaml", checkpoint, device="cpu", hydra_overrides_extra=extra
    )
    for t in range(frames):
        noise = np.random.default_rng(t).integers(0, 255, (side, side, 3), dtype=np.uint8)
        cv2.imwrite(str(Path(folder) / f"{t:05d}.jpg"), noise)
    state = model.init_state(folder)
    model.add_new_points_or_box(state, 0, 1, box=box)
    seen = sum(1 for _ in model.propagate_in_video(state))
assert seen == frames, (seen, frames)
# Not ru_maxrss: it keeps the parent's peak from before exec.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1024)
"""


def peak_mb(which: str, checkpoint: Path, frames: int, side: int) -> float:
    """Peak resident memory of one clip in a fresh process, MB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _CHILD, which, str(checkpoint), str(frames), str(side), folder]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="80 frames against 40")
    quick = parser.parse_args(argv).quick
    short, long, side = (40, 80, 256) if quick else (50, 400, 256)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = tiny_sam2_checkpoint(Path(folder) / "tiny.pt")
        peaks = {
            (which, frames): peak_mb(which, checkpoint, frames, side)
            for frames in (short, long)
            for which in ("ours", "stock")
        }
    grown = {which: (peaks[which, long] - peaks[which, short]) * 100 / (long - short) for which in ("ours", "stock")}
    row = {
        "what": "SAM 2 video predictor, peak RSS grown by 100 frames more, MB: ours against stock",
        "ours": round(grown["ours"], 2),
        "other": round(grown["stock"], 2),
        "ratio": round(grown["ours"] / grown["stock"], 4),
        "sizes": f"random hiera-tiny, {side} px, {short} and {long} frames; peaks ours {peaks['ours', short]:.0f} and "
        f"{peaks['ours', long]:.0f} MB, stock {peaks['stock', short]:.0f} and {peaks['stock', long]:.0f} MB",
    }
    print(json.dumps({"bench": "sam2", "rows": [row]}))


if __name__ == "__main__":
    main()
