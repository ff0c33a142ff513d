"""Our renderer beside a plain pyrender loop with the same outputs: colour, ids, an amodal mask a person, depth."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tasks.backends.motion_files import load_motion
from tasks.backends.pyrender import Style, raster
from tasks.motion import write_demo_motions
from tasks.motion_file import read_scene
from tasks.ops.drawn import Frame
from tasks.ops.surface import prepare
from tasks.ops.wardrobe import dress_cast
from tasks.render import Config, Shot, stage_shot
from tests.bench._plain_pyrender import PlainLoop

_BLOCK = 8  # frames that one side draws before it is the other's turn


def main(argv: list[str]) -> int:
    """Print the comparison as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.render", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args(argv)
    rows = compare(shot_of(Config(width=arguments.size, height=arguments.size)), 2 if arguments.quick else 6)
    print(json.dumps({"bench": "render", "rows": rows}))
    return 0


def shot_of(config: Config) -> tuple[Shot, Config]:
    """The demo's two dressed strangers, in a place without textures whose ambient light is even, as pyrender's is."""
    with tempfile.TemporaryDirectory() as folder:
        path = next(p for p in write_demo_motions(folder) if p.stem == "strangers")
        scene = read_scene(path)
        motions = [load_motion(Path(folder) / p.motion, source=p.motion) for p in scene.performers]
    config = dataclasses.replace(config, textures=False)
    shot = stage_shot(scene, motions, None, config)
    even = 0.5 * (shot.place.sky + shot.place.ground)
    grey = np.full_like(shot.place.floor, round(float(shot.place.floor.mean())))
    place = dataclasses.replace(shot.place, sky=even, ground=even, floor=grey)
    place = dataclasses.replace(place, light=np.full(3, place.light.mean()))
    return dataclasses.replace(shot, place=place), config


def compare(made: tuple[Shot, Config], rounds: int) -> list[dict]:
    """Both sides over blocks of frames spread over the clip, in turn."""
    shot, config = made
    surfaces = [prepare(b.faces, b.region, b.rest_vertex, b.rest_joint) for b in shot.cast]
    matte = np.full((8, 1), 0.8)
    palettes = [np.concatenate([p[:, :3], matte], 1, dtype=np.float32) for p in dress_cast(shot.scene.performers)]
    colors = [vertex_colors(b.faces, b.region, len(b.rest_vertex), p) for b, p in zip(shot.cast, palettes, strict=True)]
    plain = PlainLoop(config.size, [body.faces for body in shot.cast], colors, shot.place)
    moments = [([b.vertices[t] for b in shot.cast], shot.track.at(t)) for t in range(shot.num_frames)]
    spread = np.linspace(0, shot.num_frames - 1, _BLOCK * (rounds + 1)).round().astype(int)
    ours_s, plain_s, pairs = [], [], []
    for block in spread.reshape(-1, _BLOCK):
        todo = [moments[t] for t in block]
        with raster(config.size, surfaces, palettes, shot.place) as drawn:
            next(drawn.frames(todo[:1]))
            started = time.perf_counter()
            list(drawn.frames(todo))
            ours_s.append((time.perf_counter() - started) / _BLOCK)
        with raster(config.size, surfaces, palettes, shot.place, Style(shadows=False)) as drawn:
            unshadowed = list(drawn.frames(todo))
        plain.frame(*todo[0])
        for frame, moment in zip(unshadowed, todo, strict=True):
            started = time.perf_counter()
            other = plain.frame(*moment)
            plain_s.append(time.perf_counter() - started)
            pairs.append(judge(frame, other))
    ours, other = 1 / statistics.median(ours_s), 1 / statistics.median(plain_s)
    sizes = f"{config.width}x{config.height}, {' + '.join(str(len(b.faces)) for b in shot.cast)} triangles"
    ids, amodal, near, psnr = (np.array(column) for column in zip(*pairs, strict=True))
    frames = f"{len(pairs)} frames"

    def row(what: str, ours: float, other: float | None = None, wanted: str = "", sizes: str = sizes) -> dict:
        ratio = ours / other if other else None
        return {"what": what, "ours": ours, "other": other, "ratio": ratio, "wanted": wanted, "sizes": sizes}

    return [
        row("frames/s, all outputs, shadows on", ours, other, ">= 3 (aim 5)"),
        row("pixels whose id differs", int(ids.sum()), 0, "0", frames),
        row("pixels of amodal masks that differ", int(amodal.sum()), 0, "0", frames),
        row("colour, PSNR in dB, shadows off, median", float(np.median(psnr))),
        row("share of people's pixels with depth within 2 mm", float(near.mean())),
    ]


def judge(frame: Frame, other: dict[str, np.ndarray]) -> tuple[int, int, float, float]:
    """Unequal id pixels, unequal amodal pixels, share of near equal depths, PSNR."""
    bits = np.stack([(frame.amodal >> p) & 1 for p in range(len(other["amodal"]))]) > 0
    body = frame.person > 0
    off = np.abs(frame.depth[body] - 1000 * other["depth"][body])
    error = np.mean((frame.color.astype(float) - other["color"]) ** 2)
    psnr = 10 * np.log10(255**2 / max(error, 1e-9))
    return (
        int((frame.person != other["person"]).sum()),
        int((bits != other["amodal"]).sum()),
        float((off <= 2).mean()),
        float(psnr),
    )


def vertex_colors(faces: np.ndarray, region: np.ndarray, vertices: int, palette: np.ndarray) -> np.ndarray:
    """Linear colours (V, 4) of a body's regions; a vertex on a border takes one of the two."""
    of_vertex = np.zeros(vertices, np.uint8)
    of_vertex[faces.ravel()] = np.repeat(region, 3)
    return np.concatenate([palette[of_vertex, :3], np.ones((vertices, 1))], 1, dtype=np.float32)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
