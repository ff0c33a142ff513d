"""Name -> file: every network's weights, where they come from, and a copy on this machine that is what it should be."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets.store import sync, write_atomic
from tasks.backends.download import DownloadError, download, unzip_one

# No file in the table comes near this; an address that sends more is not sending the file.
MAX_BYTES = 4 << 30

OPENMMLAB = "https://download.openmmlab.com/mmpose/v1/projects"
SAM21 = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"
GITHUB = "https://raw.githubusercontent.com"
BUFFALO_L = "https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip"
HUMAN_ART = "Apache-2.0; trained on Human-Art, whose data is for non-commercial research"


class WeightsError(RuntimeError):
    """Weights that are not here and cannot be had, or are not what they should be. Says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One file of weights."""

    name: str
    file: str  # its name in --weights DIR and in the cache
    address: str | None  # None where nobody publishes just this file: `origin` says where such a one comes from
    member: str | None = None  # the address is a zip, and the file is the entry whose name ends so
    size: int | None = None  # bytes of the file; None while nobody has counted them
    sha256: str | None = None  # of the file; None: recorded at the first download, and held to from then on
    licence: str
    origin: str


def _sdk(
    name: str, folder: str, stem: str, *, size: int | None, sha256: str | None, licence: str, origin: str
) -> Weight:
    """An OpenMMLab deployment zip out of rtmlib's MODE tables, under the file name that rtmlib's own cache gives it."""
    address = f"{OPENMMLAB}/{folder}/onnx_sdk/{stem}.zip"
    return Weight(
        name=name, file=f"{stem}.onnx", address=address, member="/end2end.onnx", size=size, sha256=sha256,
        licence=licence, origin=origin,
    )  # fmt: skip


def _sam(size_name: str, size: int, sha256: str) -> Weight:
    file = f"sam2.1_hiera_{size_name}.pt"
    return Weight(
        name=f"sam2.1-hiera-{size_name.replace('_', '-')}", file=file, address=f"{SAM21}/{file}", size=size,
        sha256=sha256, licence="Apache-2.0", origin="Meta, SAM 2.1 checkpoints of 29 September 2024",
    )  # fmt: skip


def _face(name: str, file: str, size: int, sha256: str, origin: str) -> Weight:
    return Weight(
        name=name, file=file, address=BUFFALO_L, member=f"/{file}", size=size, sha256=sha256,
        licence="InsightFace's models: for non-commercial research only", origin=f"InsightFace, buffalo_l: {origin}",
    )  # fmt: skip


_ALL = (
    Weight(
        name="rtmdet-nano",
        file="rtmdet_nano_person_end2end.onnx",
        address=f"{OPENMMLAB}/rtmpose/rtmpose-cpu.zip",
        member="rtmdet-nano/end2end.onnx",
        size=4_012_393,
        sha256="b8585adb6d1352796f6e86337e09c3459b830645a7e7192d9381670bea2facbd",
        licence="Apache-2.0",
        origin="OpenMMLab, RTMDet-nano for people, in MMPose's CPU demo package",
    ),
    Weight(
        name="yolox-nano",
        file="yolox_nano_416x416.onnx",
        address=f"{GITHUB}/w-okada/yolox-onnx-test/55a75a98a88718c109d7db0eb8c2411632921dc4/models/yolox_nano_416x416.onnx",
        size=3_660_092,
        sha256="695e750a5d5754bb5a8d5325643b59282191a7e7a564e435a415fd3c578eab14",
        licence="Apache-2.0",
        origin="Megvii YOLOX-nano for COCO, exported to ONNX at 416x416",
    ),
    _sdk(
        "yolox-m",
        "rtmposev1",
        "yolox_m_8xb8-300e_humanart-c2c7a14a",
        size=101_400_344,
        sha256="3dea6513388889f0fff4b77bf7a26013600321b9eb9ceb0e9a400a82572f5f23",
        licence=HUMAN_ART,
        origin="OpenMMLab, the detector of rtmlib's balanced and performance modes",
    ),
    Weight(
        name="movenet-lightning",
        file="movenet_single_pose_lightning_ptq.tflite",
        address=f"{GITHUB}/google-coral/test_data/master/movenet_single_pose_lightning_ptq.tflite",
        size=2_894_840,
        sha256="cd7cc22fa946e5d146a7b98d496853e1923e22828d3972d579973f27f91bb105",
        licence="Apache-2.0",
        origin="Google, MoveNet single pose Lightning, quantised, from Coral's test data",
    ),
    _sdk(
        "rtmpose-m",
        "rtmposev1",
        "rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504",
        size=54_330_655,
        sha256="5c0a4bf67953e6d2ac43ce15e77dc9d5d354ae18430a47d2c5963a7bc5683e3c",
        licence="Apache-2.0",
        origin="OpenMMLab, RTMPose-m, 17 keypoints, rtmlib's balanced mode",
    ),
    _sdk(
        "rtmw-m-256",
        "rtmw",
        "rtmw-dw-l-m_simcc-cocktail14_270e-256x192_20231122",
        size=None,
        sha256=None,
        licence="Apache-2.0",
        origin="OpenMMLab, RTMW-m, 133 keypoints, rtmlib's lightweight mode",
    ),
    _sdk(
        "rtmw-l-256",
        "rtmw",
        "rtmw-dw-x-l_simcc-cocktail14_270e-256x192_20231122",
        size=None,
        sha256=None,
        licence="Apache-2.0",
        origin="OpenMMLab, RTMW-l, 133 keypoints, rtmlib's balanced mode",
    ),
    _sdk(
        "rtmw-l-384",
        "rtmw",
        "rtmw-dw-x-l_simcc-cocktail14_270e-384x288_20231122",
        size=229_320_930,
        sha256="bd033156e5104c4f5d2edfe0453e02661e30a2f3da453ec93c8764d561b83054",
        licence="Apache-2.0",
        origin="OpenMMLab, RTMW-l, 133 keypoints, rtmlib's performance mode",
    ),
    Weight(
        name="dwpose-l-384",
        file="dw-ll_ucoco_384.onnx",
        address="https://huggingface.co/yzd-v/DWPose/resolve/main/dw-ll_ucoco_384.onnx",
        size=134_399_116,
        sha256="724f4ff2439ed61afb86fb8a1951ec39c6220682803b4a8bd4f598cd913b1843",
        licence="Apache-2.0",
        origin="IDEA-Research, DWPose-l, 133 keypoints",
    ),
    Weight(
        name="reid-0248",
        file="person-reidentification-retail-0248.onnx",
        address=f"{GITHUB}/Kazuhito00/MOT-Tracking-by-Detection-Pipeline/181787ca9b232eaf4a7327deb2e93d8fc8e1885c"
        "/Tracker/person_reid/model/person-reidentification-retail-0248.onnx",
        size=806_257,
        sha256="43891ce644ff6f4c70cce150028e44d6cf3d150cb5a3eb75bf69bfaef0ebe789",
        licence="Apache-2.0",
        origin="Intel Open Model Zoo, person-reidentification-retail-0248, exported to ONNX (NHWC)",
    ),
    Weight(
        name="osnet-x1.0",
        file="osnet_x1_0_msmt17_combineall_256x128_amsgrad_ep150_stp60_lr0.0015_b64_fb10_softmax_labelsmooth_flip_jitter.pth",
        address="https://huggingface.co/kaiyangzhou/osnet/resolve/main/osnet_x1_0_msmt17_combineall_256x128_amsgrad_ep150"
        "_stp60_lr0.0015_b64_fb10_softmax_labelsmooth_flip_jitter.pth",
        licence="MIT; trained on MSMT17, whose data is for research",
        origin="Kaiyang Zhou (author of OSNet), trained on all of MSMT17",
    ),
    Weight(
        name="yunet",
        file="face_detection_yunet_120x160.onnx",
        address=f"{GITHUB}/Kazuhito00/Image-Processing-Node-Editor/75f75b654ba4f5900db1e520d8381556cf60c410"
        "/ipn_editor/node/deep_learning_node/face_detection/YuNet/model/face_detection_yunet_120x160.onnx",
        size=346_295,
        sha256="c89f94fc04a5db6f9ab39df6b1e4142007dd61781ef7e3a5b9b175bb0abb8c11",
        licence="Apache-2.0",
        origin="YuNet (Shiqi Yu), 2021 export at 120x160",
    ),
    _face(
        "scrfd-10g",
        "det_10g.onnx",
        16_923_827,
        "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91",
        "SCRFD-10G with five landmarks, trained on WIDER FACE",
    ),
    _face(
        "arcface-r50",
        "w600k_r50.onnx",
        174_383_860,
        "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
        "ArcFace on a ResNet-50, trained on WebFace600K",
    ),
    Weight(
        name="deeplabv3",
        file="deeplabv3_mnv2_257.onnx",
        address=None,
        size=2_781_296,
        sha256="48a46b346ca7e2e96760b8a10a302046a3b5a9ce55e59d4c659c36d9cbd44118",
        licence="Apache-2.0",
        origin="Google DeepLab v3 on MobileNet v2 for Pascal VOC (TensorFlow Lite's 257x257 model), by tf2onnx",
    ),
    _sam("tiny", 156_008_466, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
    _sam("small", 184_416_285, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"),
    _sam("base_plus", 323_606_802, "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"),
    _sam("large", 898_083_611, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"),
)
TABLE: dict[str, Weight] = {weight.name: weight for weight in _ALL}


def weight(name: str) -> Weight:
    """The table's entry. Raises ValueError that lists the names there are."""
    try:
        return TABLE[name]
    except KeyError:
        raise ValueError(f"weights: want one of {', '.join(TABLE)}, got {name!r}") from None


def cache_folder() -> Path:
    """Where downloads go: $DUETFLOW_CACHE, or ~/.cache/duetflow, and there `weights`."""
    return Path(os.environ.get("DUETFLOW_CACHE") or Path.home() / ".cache" / "duetflow") / "weights"


def found(name: str, directory: str | Path | None) -> Path | None:
    """The file as it lies in the directory or the cache, or None; nothing is downloaded or verified."""
    entry = weight(name)
    for folder in ([Path(directory)] if directory else []) + [cache_folder()]:
        if (folder / entry.file).is_file():
            return folder / entry.file
    return None


def locate(name: str, directory: str | Path | None, *, download: bool = True) -> Path:
    """The file, from the directory, the cache or its address, in that order.

    A file in the directory is the user's word and is taken as it is: a retrained network of the same interface is
    welcome, and its digest goes into every artifact's name. One in the cache is held to the table's or the recorded
    sha256. Raises WeightsError naming file, address and directory when it cannot be had, and saying what was wanted and
    got when it is not what it should be.
    """
    entry = weight(name)
    if directory and (Path(directory) / entry.file).is_file():
        return Path(directory) / entry.file
    path = cache_folder() / entry.file
    if not path.is_file():
        if not download:
            raise _missing(entry, directory, "downloads are off")
        if entry.address is None:
            raise _missing(entry, directory, "no address publishes it")
        with _lock(path):
            if not path.is_file():
                _fetch(entry, path, directory)
    _hold(entry, path)
    return path


def digest(name: str, directory: str | Path | None) -> str:
    """sha256 of the file that `locate` would give, without downloading. Raises WeightsError when it is not here."""
    return _digest(locate(name, directory, download=False))


def _missing(entry: Weight, directory: str | Path | None, why: str) -> WeightsError:
    size = f", {entry.size / 1e6:.1f} MB" if entry.size else ""
    source = entry.address or f"no address ({entry.origin})"
    if entry.member:
        source += f" (a zip: take {entry.member.lstrip('/')} out of it under the name above)"
    return WeightsError(
        f"weights {entry.name}: want the file {entry.file}{size}, got none: {why}. "
        f"Get it from {source} and put it into {directory or cache_folder()}"
        f"{'' if directory else ', or name its folder with --weights DIR'}"
    )


def _digest(path: Path) -> str:
    status = path.stat()
    return _hash_file(str(path), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _hash_file(path: str, size: int, mtime_ns: int) -> str:
    """sha256 of a file; size and time are there so that a changed file is hashed anew."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recorded(entry: Weight, path: Path) -> str | None:
    """The sha256 this file is held to: the table's, else the one of the first download, else None."""
    if entry.sha256:
        return entry.sha256
    sidecar = path.with_name(f"{path.name}.sha256")
    return sidecar.read_text().split()[0] if sidecar.is_file() else None


def _hold(entry: Weight, path: Path) -> None:
    want, got = _recorded(entry, path), _digest(path)
    if want is None:
        write_atomic(path.with_name(f"{path.name}.sha256"), f"{got}  {path.name}\n".encode())
    elif want != got:
        raise WeightsError(
            f"weights {entry.name}: {path}: want sha256 {want}, got {got}; delete the file to fetch it again"
        )


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One process at a time fetches a file; the others wait and then find it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(entry: Weight, path: Path, directory: str | Path | None) -> None:
    """Download aside, check, sync, rename. A failure leaves nothing behind."""
    assert entry.address is not None
    aside = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    archive = aside.with_name(f"{aside.name}.zip")
    limit = entry.size or MAX_BYTES
    try:
        if entry.member:
            download(entry.address, archive, limit=MAX_BYTES, label=f"weights {entry.name}")
            unzip_one(archive, entry.member, aside, limit=limit)
        else:
            download(entry.address, aside, limit=limit, label=f"weights {entry.name}")
        _check(entry, path, aside)
        sync(aside)
        os.replace(aside, path)
        sync(path.parent)
    except DownloadError as error:
        raise _missing(entry, directory, f"{entry.address} gave {error}") from error
    finally:
        aside.unlink(missing_ok=True)
        archive.unlink(missing_ok=True)


def _check(entry: Weight, path: Path, aside: Path) -> None:
    size, want = aside.stat().st_size, _recorded(entry, path)
    if entry.size is not None and size != entry.size:
        raise WeightsError(f"weights {entry.name}: {entry.address}: want {entry.size} bytes, got {size}")
    got = _digest(aside)
    if want is not None and want != got:
        raise WeightsError(
            f"weights {entry.name}: {entry.address}: want sha256 {want}, got {got}; the file there has changed"
        )
