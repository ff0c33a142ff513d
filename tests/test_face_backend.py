"""SCRFD and ArcFace: what we decode from networks of buffalo_l's interface is what InsightFace's own steps give."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tasks.backends.faces import ARCFACE, SCRFD, ArcFace, align, similarity
from tasks.backends.onnx_session import Session
from tasks.backends.table import FACE_READER, Where, face_reader
from tasks.backends.weights import WeightsError
from tests import tiny_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_weights.write(tmp_path_factory.mktemp("faces"), FACE_READER)


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Blobs of colour, (h, w, 3) uint8 RGB."""
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)


def plainly_found(session: Session, image: np.ndarray, threshold: float, nms: float) -> list[tuple[float, list, list]]:
    """What InsightFace's steps give, one anchor after another in plain Python: (score, box, landmarks), best first."""
    bgr, size = image[..., ::-1], 640
    ratio = bgr.shape[0] / bgr.shape[1]
    new_w, new_h = (int(size / ratio), size) if ratio > 1 else (size, int(size * ratio))
    scale = new_h / bgr.shape[0]
    padded = np.zeros((size, size, 3), np.uint8)
    padded[:new_h, :new_w] = cv2.resize(bgr, (new_w, new_h))
    blob = cv2.dnn.blobFromImage(padded, 1 / 128, (size, size), (127.5, 127.5, 127.5), swapRB=True)
    outputs = session.run(blob)
    found = []
    for level, stride in enumerate((8, 16, 32)):
        scores, boxes, points = (outputs[level + 3 * part].reshape(-1, c) for part, c in enumerate((1, 4, 10)))
        cells = size // stride
        for i in range(len(scores)):
            if scores[i, 0] < threshold:
                continue
            x, y = (i // 2) % cells * stride, (i // 2) // cells * stride
            left, top, right, bottom = (float(v) * stride for v in boxes[i])
            box = [v / scale for v in (x - left, y - top, x + right, y + bottom)]
            moved = (points[i].reshape(5, 2) * stride + (x, y)) / scale
            found.append((float(scores[i, 0]), box, moved.tolist()))
    found.sort(key=lambda one: -one[0])
    kept: list[tuple[float, list, list]] = []
    for one in found:
        if all(overlap(one[1], other[1]) <= nms for other in kept):
            kept.append(one)
    return kept


def overlap(a: list[float], b: list[float]) -> float:
    w, h = (max(0.0, min(a[2 + k], b[2 + k]) - max(a[k], b[k]) + 1) for k in range(2))
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return w * h / (sum(areas) - w * h)


@pytest.mark.parametrize(
    ("size", "batched"),
    [
        pytest.param((360, 480), False, id="wide"),
        pytest.param((640, 360), True, id="tall, rows in a batch"),
        pytest.param((50, 41), False, id="small"),
    ],
)
def test_faces_are_decoded_as_insightface_does(tmp_path: Path, size: tuple[int, int], batched: bool) -> None:
    tiny_weights.scrfd(tmp_path / "net.onnx", batched=batched)
    session, image = Session(tmp_path / "net.onnx"), picture(size)
    found = SCRFD(session=session).find(image)
    plain = plainly_found(session, image, 0.5, 0.4)
    assert len(found.score) < len(SCRFD(session=session).find(image, nms=1.0).score)
    assert len(found.score) == len(plain) > 20
    assert found.box.dtype == found.score.dtype == found.landmark.dtype == np.float32
    np.testing.assert_allclose(found.score, [one[0] for one in plain], atol=1e-6)
    np.testing.assert_allclose(found.box, [one[1] for one in plain], atol=1e-2)
    np.testing.assert_allclose(found.landmark, [one[2] for one in plain], atol=1e-2)


def test_nobody_found_is_nothing(folder: Path) -> None:
    detector, recogniser = face_reader(Where(directory=str(folder), download=False))
    image = picture((120, 160))
    found = detector.find(image, score_threshold=1.1)
    assert (found.box.shape, found.score.shape, found.landmark.shape) == ((0, 4), (0,), (0, 5, 2))
    assert recogniser.embed(image, found.landmark).shape == (0, 512)


def umeyama(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Umeyama 1991 by singular values, as skimage's SimilarityTransform, which InsightFace calls, has it."""
    p, q = points - points.mean(0), onto - onto.mean(0)
    u, s, vt = np.linalg.svd(q.T @ p / len(p))
    d = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    scale = (s * d).sum() / p.var(axis=0).sum()
    matrix = scale * u @ np.diag(d) @ vt
    return np.concatenate([matrix, (onto.mean(0) - matrix @ points.mean(0))[:, None]], axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_the_alignment_is_umeyamas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Turned, scaled and moved as faces are, and bent as no similarity can undo.
    angle, size = rng.uniform(-np.pi, np.pi), rng.uniform(0.3, 4)
    turned = ARCFACE @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * size
    points = turned + rng.normal(size=(5, 2)) * 6 + rng.uniform(0, 300, 2)
    np.testing.assert_allclose(similarity(points, ARCFACE), umeyama(points, ARCFACE.astype(float)), atol=1e-6)
    # Mirrored landmarks must not give a mirrored crop.
    assert np.linalg.det(similarity(points * (-1, 1), ARCFACE)[:, :2]) > 0


def test_landmarks_land_where_arcface_wants_them() -> None:
    five = (ARCFACE - 56) @ np.array([[0.0, 2.0], [-2.0, 0.0]]) + 200  # upside sideways, twice as large
    image = np.zeros((400, 400, 3), np.uint8)
    for x, y in five.round().astype(int):
        cv2.circle(image, (int(x), int(y)), 6, (255, 255, 255), -1)
    crop = align(image, five.astype(np.float32))
    assert crop.shape == (112, 112, 3)
    for x, y in ARCFACE.round().astype(int):
        assert crop[y, x].min() > 200
    assert crop[80, 56].max() < 50


def test_vectors_are_those_of_insightfaces_steps(folder: Path) -> None:
    _, recogniser = face_reader(Where(directory=str(folder), download=False))
    image = picture((300, 400), seed=3)
    landmark = np.stack([ARCFACE * s + at for s, at in ((1, (20, 30)), (2.2, (100, 10)), (0.5, (330, 240)))])
    vectors = recogniser.embed(image, landmark.astype(np.float32))
    assert vectors.shape == (3, 512)
    assert vectors.dtype == np.float32
    for vector, five in zip(vectors, landmark, strict=True):
        crop = cv2.warpAffine(image[..., ::-1], umeyama(five, ARCFACE.astype(float)), (112, 112), borderValue=0.0)
        blob = cv2.dnn.blobFromImages([crop], 1 / 127.5, (112, 112), (127.5, 127.5, 127.5), swapRB=True)
        plain = recogniser.session.run(blob)[0][0]
        np.testing.assert_allclose(vector, plain / np.linalg.norm(plain), atol=2e-3)
        assert abs(np.linalg.norm(vector) - 1) < 1e-5
    # One at a time or all at once: the same.
    np.testing.assert_allclose(recogniser.embed(image, landmark[1:2]), vectors[1:2], atol=1e-6)


def test_other_networks_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    tiny_weights.arcface(tmp_path / "short.onnx", width=128)
    with pytest.raises(ValueError, match=r"ArcFace: want vectors \(1, 512\), got \(1, 128\).*w600k_r50"):
        ArcFace(session=Session(tmp_path / "short.onnx")).embed(picture((200, 200)), ARCFACE[None])
    with pytest.raises(ValueError, match=r"SCRFD: want a network of 9 outputs.*got 1; .*det_10g"):
        SCRFD(session=Session(tmp_path / "short.onnx"))


def test_missing_weights_say_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETFLOW_CACHE", str(tmp_path / "cache"))
    with pytest.raises(WeightsError, match=r"det_10g\.onnx.*buffalo_l\.zip.*--weights DIR"):
        face_reader(Where(download=False))
