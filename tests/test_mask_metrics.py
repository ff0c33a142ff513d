"""J, F and contact of masks: drawn squares whose figures can be worked out, and DAVIS's own lines beside ours."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from tasks.ops.mask_metrics import contour_accuracy, region_similarity, touching

SIZE = (200, 200)


def square(x: int, y: int, side: int = 40, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A square mask."""
    mask = np.zeros(size, bool)
    mask[y : y + side, x : x + side] = True
    return mask


EMPTY = np.zeros(SIZE, bool)


@pytest.mark.parametrize(
    ("found", "truth", "j", "f"),
    [
        pytest.param(square(50, 50), square(50, 50), 1, 1, id="equal"),
        pytest.param(EMPTY, EMPTY, 1, 1, id="both empty"),
        pytest.param(EMPTY, square(50, 50), 0, 0, id="missed"),
        pytest.param(square(50, 50), EMPTY, 0, 0, id="nobody there"),
        # A shift of 2 pixels is within the reach of 3 (0.008 of the diagonal of 283): the contour is right, J is not.
        pytest.param(square(52, 50), square(50, 50), 38 / 42, 1, id="off by two pixels"),
        pytest.param(square(120, 50), square(50, 50), 0, 0, id="beside it"),
    ],
)
def test_known_masks_have_known_figures(found, truth, j, f):
    assert region_similarity(found, truth) == pytest.approx(j)
    assert contour_accuracy(found, truth) == pytest.approx(f)


def test_half_of_a_contour_is_half_right():
    wide = np.zeros(SIZE, bool)
    wide[50:90, 50:130] = True
    narrow = square(50, 50)
    # Of the narrow one's 160 contour pixels, all but the middle of its right side lie on the wide one's; the wide one's
    # right half is missed.
    assert 0.6 < contour_accuracy(narrow, wide) < 0.8


def davis_f(found: np.ndarray, truth: np.ndarray) -> float:
    """davis2017-evaluation's f_measure, line by line: _seg2bmap, skimage's disk, dilation, precision and recall."""

    def boundary(seg: np.ndarray) -> np.ndarray:
        e, s, se = np.zeros_like(seg), np.zeros_like(seg), np.zeros_like(seg)
        e[:, :-1] = seg[:, 1:]
        s[:-1, :] = seg[1:, :]
        se[:-1, :-1] = seg[1:, 1:]
        b = seg ^ e | seg ^ s | seg ^ se
        b[-1, :] = seg[-1, :] ^ e[-1, :]
        b[:, -1] = seg[:, -1] ^ s[:, -1]
        b[-1, -1] = 0
        return b

    pixels = int(np.ceil(0.008 * np.linalg.norm(found.shape)))
    at = np.arange(-pixels, pixels + 1)
    disk = (at[:, None] ** 2 + at[None] ** 2) <= pixels**2
    a, b = boundary(found), boundary(truth)
    precision = (a & binary_dilation(b, disk)).sum() / a.sum()
    recall = (b & binary_dilation(a, disk)).sum() / b.sum()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("seed", range(6))
def test_f_is_davis(seed):
    """Blobs inside the picture and over its rim."""
    rng = np.random.default_rng(seed)
    found, truth = np.zeros((2, 90, 120), bool)
    for mask in (found, truth):
        for _ in range(6):
            x, y = rng.integers(-5, 110), rng.integers(-5, 80)
            mask[max(y, 0) : y + 25, max(x, 0) : x + 25] = True
    assert 0 < davis_f(found, truth) < 1
    assert contour_accuracy(found, truth) == pytest.approx(davis_f(found, truth), abs=1e-9)


@pytest.mark.parametrize(
    ("gap", "touch"),
    [pytest.param(0, True, id="side by side"), pytest.param(4, True, id="near"), pytest.param(12, False, id="apart")],
)
def test_who_touches_whom(gap, touch):
    masks = [square(20, 60), square(60 + gap, 60), square(150, 60)]
    assert touching(masks).tolist() == [touch, touch, False]


def test_nobody_touches_someone_hidden():
    assert touching([square(20, 60), EMPTY]).tolist() == [False, False]
    assert touching([square(20, 60)]).tolist() == [False]
