"""python -m model.generate --checkpoint RUN --shards OUT --key KEY --out video.mp4: a video of everyone in a clip."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging as diffusers_logging
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from datasets.members import ShardError
from model.clips import clip_example, clip_sample, only_key, window_fps
from model.command import FAILED, OK, USAGE, Parser, line_of, tell
from model.config import TrainConfig
from model.pipeline import FOLDER, TogetherVideoPipeline
from model.reference import read_picture, with_picture
from model.run_folder import CONFIG, RunFolder
from model.side_by_side import columns_of, write_side_by_side, write_video
from model.transfer import left_to_right, transferred
from model.windows import example

# Off a terminal, a line about progress comes so often.
LINE_EVERY_S = 10.0
_DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

EXAMPLES = """examples:
  python -m model.generate --checkpoint runs/tiny --shards out/demo --key KEY --out video.mp4
  python -m model.generate ... --frames 64 --guidance 1.5 --seed 3      the first 64 frames, another draw
  python -m model.generate ... --reference painted.png                  people stand there as in the clip's reference
  python -m model.generate ... --reference-key OTHER                    its moves, the people and the place of OTHER
  python -m model.generate ... --reference-key OTHER --who 0=1,1=0      the same, and who becomes whom

Beside video.mp4 comes video.side-by-side.mp4: reference, pose and mask, generated, truth. A video of your own becomes
such a sample by the footage route: python -m flows.build_dataset FOLDER --out OUT; OUT with one sample needs no --key.
exit code: 0; 1 for damaged data; 2 for a command that cannot be run.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Gives the exit code."""
    arguments = _parser().parse_args(argv)
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        made = generate(arguments)
    except ShardError as error:
        tell(f"error: {line_of(error)}")
        return FAILED
    except (ValueError, OSError) as error:
        tell(f"error: {line_of(error)}")
        return USAGE
    except torch.OutOfMemoryError as error:
        tell(f"error: {line_of(error)}; --precision bf16 takes half the memory, --device cpu takes the computer's")
        return FAILED
    except KeyboardInterrupt:
        tell("stopped; nothing was written")
        return 130
    print(json.dumps(made) if arguments.json else _told(made))
    return OK


def generate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the two videos of a command line; what --json prints. Raises ValueError, OSError or ShardError."""
    if arguments.seed < 0:
        raise ValueError(f"--seed: want 0 or more, got {arguments.seed}")
    out = _out(arguments.out)
    for option in ("shards", "reference_shards"):
        _check_shards(option, getattr(arguments, option))
    key = arguments.key or only_key(arguments.shards)
    checkpoint = Path(arguments.checkpoint)
    train = _training(checkpoint)
    device = _device(arguments.device)
    pipe = _loaded(checkpoint, device, arguments.precision or (train.precision if device.type == "cuda" else "no"))
    stride = arguments.stride or train.stride[0]
    one, who = _example(arguments, key, pipe.network.shape.size, stride)
    fps, frames = window_fps(float(one["fps"])), len(one["frame"])
    started = time.perf_counter()
    with _watching() as watch:
        generated = pipe(
            one,
            steps=arguments.steps,
            guidance=arguments.guidance,
            generator=torch.Generator().manual_seed(arguments.seed),
            overlap=arguments.overlap,
            noise_aug=train.noise_aug,
            progress=watch,
        ).frames
    seconds = time.perf_counter() - started
    beside = out.with_name(f"{out.stem}.side-by-side.mp4")
    pictures = np.asarray(generated)[0]
    write_video(out, pictures, fps)
    write_side_by_side(beside, columns_of(one, pictures, "truth" if who is None else "driving"), fps)
    return {
        "out": str(out),
        "side_by_side": str(beside),
        "key": key,
        "reference": {
            "key": arguments.reference_key or key,
            "frame": int(one["reference_frame"]),
            "image": arguments.reference,
        },
        "who": None if who is None else {str(person): double for person, double in who.items()},
        "frames": frames,
        "size": list(pipe.network.shape.size),
        "fps": str(fps),
        "people": one["there"].shape[1],
        "steps": arguments.steps,
        "guidance": arguments.guidance,
        "seed": arguments.seed,
        "stride": stride,
        "device": str(device),
        "seconds": round(seconds, 2),
    }


def _out(path: str) -> Path:
    """Raises ValueError for a file that cannot be written, before anything is begun."""
    out = Path(path)
    if out.suffix != ".mp4":
        raise ValueError(f"--out {path}: want a name that ends in .mp4")
    if out.is_dir():
        raise ValueError(f"--out {path}: want a file, got a folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(out.parent, os.W_OK):
        raise ValueError(f"--out {path}: want a folder that can be written, got {out.parent}")
    return out


def _check_shards(option: str, source: str | None) -> None:
    if source is not None and "://" not in source and not Path(source).exists():
        raise ValueError(f"--{option.replace('_', '-')} {source}: want a dataset folder or a shard, got no such path")


def _device(name: str | None) -> torch.device:
    """Raises ValueError for a device that is not here."""
    here = torch.cuda.is_available()
    try:
        device = torch.device(name or ("cuda" if here else "cpu"))
    except RuntimeError as error:
        raise ValueError(f"--device {name}: {error}") from None
    if device.type == "cuda" and not (here and (device.index or 0) < torch.cuda.device_count()):
        raise ValueError(f"--device {name}: want one of {torch.cuda.device_count()} CUDA devices here; leave it out")
    return device


def _training(checkpoint: Path) -> TrainConfig:
    """How the network was trained; the defaults where the folder holds a pipeline and no run."""
    run = checkpoint.parent if checkpoint.name == FOLDER else checkpoint
    return RunFolder(run).config().train if (run / CONFIG).is_file() else TrainConfig()


def _loaded(checkpoint: Path, device: torch.device, precision: str) -> TogetherVideoPipeline:
    if not checkpoint.is_dir():
        raise ValueError(f"--checkpoint {checkpoint}: want a run's folder, got no such folder")
    try:
        pipe = TogetherVideoPipeline.from_pretrained(checkpoint)
        pipe.to(device)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"--checkpoint {checkpoint}: {type(error).__name__}: {error}") from error
    # The autoencoder stays as it is: in half precision SVD's gives black pictures.
    torch.nn.Module.to(pipe.network, _DTYPES[precision])
    return pipe


def _example(
    arguments: argparse.Namespace, key: str, size: tuple[int, int], stride: int
) -> tuple[dict[str, Any], Mapping[int, int] | None]:
    """What to generate, and who becomes whom where motion and looks come from different people."""
    clip = {"size": size, "frames": arguments.frames, "stride": stride, "start": arguments.start}
    who = None
    if arguments.reference_key is None and arguments.who is None:
        one = clip_example(arguments.shards, key, reference=arguments.reference_frame, **clip)
    else:
        driving = clip_sample(arguments.shards, key, **clip)
        other, shards = arguments.reference_key or key, arguments.reference_shards or arguments.shards
        look = clip_sample(shards, other, size=size, frames=1, reference=arguments.reference_frame)
        who = arguments.who or left_to_right(driving, look)
        one = example(transferred(driving, look, who, align=arguments.align))
    if arguments.reference:
        one = with_picture(one, read_picture(arguments.reference, size))
    return one, who


@contextmanager
def _watching() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, else a line now and then; both on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(time.monotonic)
        return
    columns = (TextColumn("generate"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("generate", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(clock: Callable[[], float]) -> Callable[[int, int], None]:
    last = clock()

    def tell_now_and_then(done: int, total: int) -> None:
        nonlocal last
        if clock() - last >= LINE_EVERY_S:
            last = clock()
            tell(f"generate: {done} of {total} steps of windows")

    return tell_now_and_then


def _told(made: Mapping[str, Any]) -> str:
    """What was made."""
    height, width = made["size"]
    reference = made["reference"]
    image = reference["image"] or f"frame {reference['frame']} of {reference['key']}"
    who = made["who"] and ", ".join(f"{person} as {double}" for person, double in made["who"].items())
    return (
        f"{made['out']}: {made['frames']} frames of {width}x{height} at {made['fps']} fps, {made['people']} people, "
        f"{made['steps']} steps in {made['seconds']:.1f} s, guidance {made['guidance']:g}, seed {made['seed']}\n"
        f"  motion {made['key']}; looks {image}{f'; people {who}' if who else ''}\n"
        f"  look at it: {made['side_by_side']}"
    )


def _who(text: str) -> dict[int, int]:
    """0=1,1=0 -> {0: 1, 1: 0}.

    >>> _who("0=1,1=0")
    {0: 1, 1: 0}
    """
    try:
        pairs = [pair.split("=") for pair in text.split(",")]
        who = {int(person): int(double) for person, double in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(f"want PERSON=DOUBLE,..., such as 0=1,1=0, got {text!r}") from None
    if len(who) != len(pairs):
        raise argparse.ArgumentTypeError(f"want each person once, got {text!r}")
    return who


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m model.generate",
        description="A video in which everyone of a clip moves as there and looks as in the reference image.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--checkpoint", metavar="RUN", required=True, help="a training run's folder, or a pipeline's")
    add("--shards", metavar="OUT", required=True, help="the dataset folder or shard with the clip, local or s3://")
    add("--key", metavar="KEY", help="the sample whose poses and masks drive the video (default: the only one)")
    add("--out", metavar="FILE", required=True, help="the video, .mp4; a side-by-side video comes beside it")
    add("--reference", metavar="IMAGE", help="a picture for the reference image; people stand where they do there")
    add("--reference-key", metavar="KEY", help="the sample whose people and place the video shows")
    add("--reference-shards", metavar="OUT", help="where that sample lies (default: --shards)")
    add("--reference-frame", type=int, metavar="N", help="its frame for the reference image (default: the judged one)")
    add("--who", type=_who, metavar="P=D,...", help="person P becomes D of the reference (default: from left to right)")
    add(
        "--align", choices=("each", "together", "none"), default="each",
        help="how people are moved onto the reference: each by themselves, together so that contacts hold, or not",
    )  # fmt: skip
    add("--frames", type=int, metavar="N", help="how many frames (default: all)")
    add("--start", type=int, default=0, metavar="N", help="the first one (default: 0)")
    add("--stride", type=int, metavar="N", help="take every N-th (default: the least the run was trained on)")
    add("--steps", type=int, default=25, metavar="S", help="steps of the sampler (default: 25)")
    add("--guidance", type=float, default=1.0, metavar="G", help="above 1: hold to the conditions more (default: 1)")
    add("--seed", type=int, default=0, metavar="N", help="of all that is random (default: 0)")
    add("--overlap", type=int, metavar="N", help="frames that windows share (default: a quarter of a window)")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: cuda where there is one)")
    add("--precision", choices=sorted(_DTYPES), help="of the network (default: as trained on a GPU, no on a CPU)")
    add("--threads", type=int, metavar="N", help="CPU threads that count (default: PyTorch's)")
    add("--json", action="store_true", help="print one JSON object on standard output, and nothing else there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
