"""Test-made weights: small networks with the interfaces of the real ones, written under the names of the weights table.

They find whatever is colourful on a grey ground, pose it as someone who stands, and tell people apart by colour: enough
for a preset to run whole where the real files cannot be had. Nothing in them is trained.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from datasets.skeleton import COCO17, SKELETONS
from tasks.backends.table import SKELETON_OF
from tasks.backends.weights import TABLE

# A person who stands, in shares of the box: COCO's 17 joints.
STANDING = {
    "nose": (0.50, 0.08), "left_eye": (0.54, 0.06), "right_eye": (0.46, 0.06), "left_ear": (0.58, 0.07),
    "right_ear": (0.42, 0.07), "left_shoulder": (0.70, 0.20), "right_shoulder": (0.30, 0.20),
    "left_elbow": (0.78, 0.35), "right_elbow": (0.22, 0.35), "left_wrist": (0.80, 0.48), "right_wrist": (0.20, 0.48),
    "left_hip": (0.62, 0.52), "right_hip": (0.38, 0.52), "left_knee": (0.63, 0.74), "right_knee": (0.37, 0.74),
    "left_ankle": (0.63, 0.96), "right_ankle": (0.37, 0.96),
}  # fmt: skip


class Graph:
    """Nodes of a network, written down as calls."""

    def __init__(self, name: str, shape: tuple[int | str, ...]) -> None:
        self.name, self.shape = name, shape
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        """One node; the name of its first output, and `.1`, `.2` after it for the others."""
        name = f"{kind}{len(self.nodes)}"
        names = [name, *(f"{name}.{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return name

    def constant(self, values: object, dtype: type = np.float32) -> str:
        """A constant's name."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def shaped(self, value: str, *shape: int) -> str:
        """A value in another shape; -1 takes what is left."""
        return self.op("Reshape", value, self.constant(shape, np.int64))

    def save(self, path: Path, outputs: dict[str, str], shapes: dict[str, tuple[int | str, ...]]) -> None:
        """Write the network; `outputs` is the network's output name -> the value that it is."""
        for name, value in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name]))
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info(self.name, TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))


def _peaks(graph: Graph, picture: str, size: int, stride: int, window: tuple[float, float]) -> str:
    """Where a window (h, w, shares of the picture) is more colourful than around it: (1, 1, cells, cells) 0..1."""
    most = graph.op("ReduceMax", picture, axes=[1], keepdims=1)
    least = graph.op("ReduceMin", picture, axes=[1], keepdims=1)
    colour = graph.op("Clip", graph.op("Sub", most, least), graph.constant(0.0), graph.constant(60.0))
    small = graph.op("AveragePool", colour, kernel_shape=[stride, stride], strides=[stride, stride])
    cells = size // stride

    def mean(share: tuple[float, float], factor: float) -> str:
        sides = [max(int(cells * side * factor) // 2 * 2 + 1, 3) for side in share]
        pads = [sides[0] // 2, sides[1] // 2] * 2
        return graph.op("AveragePool", small, kernel_shape=sides, strides=[1, 1], pads=pads, count_include_pad=1)

    contrast = graph.op("Sub", mean(window, 1.0), graph.op("Mul", mean(window, 1.7), graph.constant(0.6)))
    score = graph.op(
        "Clip", graph.op("Mul", contrast, graph.constant(1 / 20)), graph.constant(0.0), graph.constant(0.95)
    )
    # Equal neighbours would all be peaks: a slope too small to matter makes one of them the best.
    slope = np.arange(cells * cells).reshape(1, 1, cells, cells) * 1e-7
    score = graph.op("Add", score, graph.constant(slope))
    side = max(int(cells * window[1] * 1.4) // 2 * 2 + 1, 3)
    tall = max(int(cells * window[0] * 0.8) // 2 * 2 + 1, 3)
    best = graph.op("MaxPool", score, kernel_shape=[tall, side], strides=[1, 1], pads=[tall // 2, side // 2] * 2)
    peak = graph.op("Cast", graph.op("Equal", score, best), to=TensorProto.FLOAT)
    return graph.op("Mul", score, peak)


def detector(path: Path, size: int, *, normalised: bool) -> None:
    """A network that gives boxes and scores (1, 100, 5), as RTMDet's and the HumanArt YOLOX's exports do."""
    graph = Graph("input", (1, 3, size, size))
    stride, window = 16, (0.6, 0.22)
    picture = graph.name
    if normalised:
        # Back to 0..255, blue first: grey has no colour only there.
        std, mean = np.array([57.375, 57.12, 58.395]), np.array([103.53, 116.28, 123.675])
        picture = graph.op("Mul", picture, graph.constant(std.reshape(1, 3, 1, 1)))
        picture = graph.op("Add", picture, graph.constant(mean.reshape(1, 3, 1, 1)))
    score = graph.shaped(_peaks(graph, picture, size, stride, window), 1, -1)
    top = graph.op("TopK", score, graph.constant([100], np.int64), outputs=2, axis=1)
    cells = size // stride
    y, x = np.divmod(np.arange(cells * cells), cells)
    centre = np.stack([x + 0.5, y + 0.5], 1) * stride
    half = np.array([window[1], window[0]]) * size / 2
    boxes = graph.constant(np.concatenate([centre - half, centre + half], 1)[None])
    index = graph.op("Expand", graph.shaped(f"{top}.1", 1, 100, 1), graph.constant([1, 100, 4], np.int64))
    chosen = graph.op("GatherElements", boxes, index, axis=1)
    dets = graph.op("Concat", chosen, graph.shaped(top, 1, 100, 1), axis=2)
    labels = graph.op("Mul", top, graph.constant(0.0))
    graph.save(path, {"dets": dets, "labels": labels}, {"dets": (1, 100, 5), "labels": (1, 100)})


def yolox(path: Path, size: int) -> None:
    """A network that gives YOLOX's raw cells (1, cells, 85): offsets, log sizes, objectness, 80 classes."""
    graph = Graph("images", (1, 3, size, size))
    parts = []
    for stride, window in ((8, (0.4, 0.15)), (16, (0.6, 0.22)), (32, (0.85, 0.3))):
        cells = (size // stride) ** 2
        score = graph.shaped(_peaks(graph, graph.name, size, stride, window), 1, cells, 1)
        place = np.tile([0.5, 0.5, np.log(window[1] * size / stride), np.log(window[0] * size / stride)], (cells, 1))
        person = np.tile([1.0] + [0.0] * 79, (cells, 1))
        # Every level sees every person: only one may speak.
        quiet = graph.op("Mul", score, graph.constant(1.0 if stride == 16 else 0.1))
        parts.append(graph.op("Concat", graph.constant(place[None]), quiet, graph.constant(person[None]), axis=2))
    output = graph.op("Concat", *parts, axis=1)
    graph.save(path, {"output": output}, {"output": (1, sum((size // s) ** 2 for s in (8, 16, 32)), 85)})


def simcc(path: Path, size: tuple[int, int], skeleton: str) -> None:
    """An RTMPose-like network: crops (N, 3, h, w) -> SimCC (N, J, 2w) and (N, J, 2h), someone who stands."""
    height, width = size
    graph = Graph("input", ("batch", 3, height, width))
    rng = np.random.default_rng(7)
    small = graph.op(
        "AveragePool", graph.name, kernel_shape=[height // 8, width // 8], strides=[height // 8, width // 8]
    )
    flat = graph.shaped(small, -1, 3 * 64)
    place = standing(skeleton)
    outputs, shapes = {}, {}
    for name, bins, share in (("simcc_x", 2 * width, place[:, 0]), ("simcc_y", 2 * height, place[:, 1])):
        joints = len(share)
        # rtmlib's crop is the box, 1.25 times as large.
        middle = ((share - 0.5) / 1.25 + 0.5) * bins
        bump = 0.85 * np.exp(-((np.arange(bins) - middle[:, None]) ** 2) / (2 * 12.0**2))
        mixed = rng.normal(size=(3 * 64, joints)) * 0.02
        tilt = np.linspace(-1, 1, bins)[None, None]
        moved = graph.op("MatMul", flat, graph.constant(mixed))
        moved = graph.op("Clip", graph.shaped(moved, -1, joints, 1), graph.constant(-0.3), graph.constant(0.3))
        outputs[name] = graph.op("Add", graph.op("Mul", moved, graph.constant(tilt * 0.2)), graph.constant(bump[None]))
        shapes[name] = ("batch", joints, bins)
    graph.save(path, outputs, shapes)


def standing(skeleton: str) -> np.ndarray:
    """(J, 2) shares of the box: a standing person's joints, face and hands about nose and wrists."""
    rng = np.random.default_rng(11)
    about = {"face": "nose", "left_hand": "left_wrist", "right_hand": "right_wrist"}
    about |= {
        f"{side}_{part}": f"{side}_ankle" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")
    }
    out = []
    for joint in SKELETONS[skeleton].joints:
        near = next((base for start, base in about.items() if joint.startswith(start)), joint)
        spread = 0.0 if near == joint else 0.02
        out.append(np.array(STANDING[near]) + rng.uniform(-spread, spread, 2))
    return np.array(out)


def reid(path: Path) -> None:
    """A network like person-reidentification-retail-0248: crops (1, 256, 128, 3) -> (1, 256), by colours."""
    graph = Graph("inputs:0", (1, 256, 128, 3))
    planes = graph.op("Transpose", graph.name, perm=[0, 3, 1, 2])
    small = graph.op("AveragePool", planes, kernel_shape=[64, 64], strides=[64, 64])
    flat = graph.op("Sub", graph.shaped(small, 1, 24), graph.constant(64.0))
    mix = graph.constant(np.random.default_rng(5).normal(size=(24, 256)))
    graph.save(path, {"Identity:0": graph.op("MatMul", flat, mix)}, {"Identity:0": (1, 256)})


def yunet(path: Path) -> None:
    """A network like the 2021 YuNet: pictures (1, 3, 120, 160) -> 1076 cells; it finds no face anywhere."""
    graph = Graph("input", (1, 3, 120, 160))
    none = graph.op("Mul", graph.op("ReduceMean", graph.name, keepdims=0), graph.constant(0.0))
    outputs = {}
    for name, columns in (("loc", 14), ("conf", 2), ("iou", 1)):
        outputs[name] = graph.op("Add", none, graph.constant(np.zeros((1076, columns))))
    graph.save(path, outputs, {"loc": (1076, 14), "conf": (1076, 2), "iou": (1076, 1)})


def scrfd(path: Path, *, batched: bool = False, seed: int = 9) -> None:
    """A network of SCRFD's interface, pictures (1, 3, h, w) of any size: random scores, distances and landmarks.

    What it says of a cell is a random mixture of the colours there, so that it depends on all of its input.
    """
    graph, rng = Graph("input.1", (1, 3, "h", "w")), np.random.default_rng(seed)
    outputs, shapes = {}, {}
    for part, columns in (("score", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            small = graph.op("AveragePool", graph.name, kernel_shape=[stride, stride], strides=[stride, stride])
            weight = rng.normal(size=(2 * columns, 3, 3, 3)) * (6 if part == "score" else 1)
            offset = np.full(2 * columns, {"score": -40.0, "bbox": 3.0, "kps": 0.0}[part])
            cells = graph.op("Conv", small, graph.constant(weight), graph.constant(offset), pads=[1, 1, 1, 1])
            if part != "kps":
                cells = graph.op("Sigmoid" if part == "score" else "Softplus", cells)
            rows = graph.op("Transpose", cells, perm=[0, 2, 3, 1])
            name = f"{part}_{stride}"
            outputs[name] = graph.shaped(rows, *((1,) if batched else ()), -1, columns)
            shapes[name] = (1, f"n{stride}", columns) if batched else (f"n{stride}", columns)
    graph.save(path, outputs, shapes)


def arcface(path: Path, *, width: int = 512, seed: int = 13) -> None:
    """A network of ArcFace's interface: aligned faces (N, 3, 112, 112) -> (N, 512), a random mixture."""
    graph, rng = Graph("input.1", ("None", 3, 112, 112)), np.random.default_rng(seed)
    small = graph.op("AveragePool", graph.name, kernel_shape=[14, 14], strides=[14, 14])
    mixed = graph.op("MatMul", graph.shaped(small, -1, 192), graph.constant(rng.normal(size=(192, width))))
    graph.save(path, {"683": mixed}, {"683": ("None", width)})


def osnet(path: Path) -> None:
    """OSNet x1.0 with the parameters it is born with, from a fixed seed."""
    import torch
    from boxmot.reid.backbones.families.osnet import osnet_x1_0

    before = torch.random.get_rng_state()
    torch.manual_seed(3)
    torch.save({f"module.{k}": v for k, v in osnet_x1_0(num_classes=4, pretrained=False).state_dict().items()}, path)
    torch.random.set_rng_state(before)


_PLAIN = {"reid-0248": reid, "yunet": yunet, "osnet-x1.0": osnet, "scrfd-10g": scrfd, "arcface-r50": arcface}
POSE_SIZES = {
    "rtmpose-m": (256, 192), "rtmw-m-256": (256, 192), "rtmw-l-256": (256, 192), "rtmw-l-384": (384, 288),
    "dwpose-l-384": (384, 288),
}  # fmt: skip


def write(folder: Path, names: list[str] | tuple[str, ...]) -> Path:
    """The named weights, test-made, in a folder for --weights. Raises ValueError for a name there is none of."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / TABLE[name].file
        if name in POSE_SIZES:
            simcc(path, POSE_SIZES[name], SKELETON_OF[name])
        elif name == "rtmdet-nano":
            detector(path, 320, normalised=True)
        elif name == "yolox-m":
            detector(path, 640, normalised=False)
        elif name == "yolox-nano":
            yolox(path, 416)
        elif name in _PLAIN:
            _PLAIN[name](path)
        else:
            raise ValueError(f"tiny weights: none for {name}")
    return folder


_CLOTHES = (((210, 40, 30), (30, 40, 190)), ((240, 200, 20), (20, 160, 60)))  # shirt and trousers of each


def people_video(frames: int, size: tuple[int, int]) -> np.ndarray:
    """(T, h, w, 3) uint8: two colourful figures on grey who walk towards each other: what these networks find."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(2).integers(0, 12, (height, width, 1))
    out = np.empty((frames, height, width, 3), np.uint8)
    for t in range(frames):
        picture = np.repeat(100 + noise, 3, 2).astype(np.uint8)
        share = t / max(frames - 1, 1)
        for middle, top, bottom in ((0.22 + 0.12 * share, *_CLOTHES[0]), (0.78 - 0.12 * share, *_CLOTHES[1])):
            parts = ((0.28, 0.05, 0.03, (225, 170, 140)), (0.45, 0.14, 0.06, top), (0.72, 0.17, 0.05, bottom))
            for down, half_h, half_w, colour in parts:
                inside = ((x / width - middle) / half_w) ** 2 + ((y / height - down) / half_h) ** 2 < 1
                picture[inside] = colour
        out[t] = picture
    return out


assert set(STANDING) == set(COCO17.joints)
