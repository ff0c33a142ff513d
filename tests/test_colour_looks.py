"""Pictures, masks -> shades, likeness of colours, and the nats that they are worth in a clip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from datasets.masks import Masks
from tasks.ops.colour_looks import BINS, ColourLooks, ColourScales, by_colours, colours_of, likeness
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.tracks import Track
from tests.test_bind_evidence import track

RED, BLUE, GREEN, WHITE = (190, 40, 40), (40, 60, 190), (0, 128, 0), (255, 255, 255)
SCALES = ColourScales(same=0.91, other=0.38, spread=0.17, weight=1.5, most=4.0)  # whatever is fitted
Box = tuple[int, int, int, int]  # x0, y0, x1, y1
Colour = tuple[int, int, int]


def crops_of(boxes: Iterable[Box], size: tuple[int, int]) -> MaskCrops:
    """Masks that fill these boxes; nothing of an empty one."""
    masks = []
    for x0, y0, x1, y1 in boxes:
        masks.append(np.zeros(size, bool))
        masks[-1][y0:y1, x0:x1] = True
    return MaskCrops(Masks.encode(masks, size=size))


def looked(
    painted: Sequence[tuple[Box, Colour]], boxes: Sequence[Box], size: tuple[int, int] = (120, 200), scale: int = 1
) -> list[np.ndarray | None]:
    """Shades (3 bands, 3 lights, 6 of a, 6 of b) of masks on a picture painted in turn, every pixel `scale` wide."""
    image = np.zeros((*size, 3), np.uint8)
    for (x0, y0, x1, y1), colour in painted:
        image[y0:y1, x0:x1] = colour
    image = image.repeat(scale, 0).repeat(scale, 1)
    large = crops_of([tuple(scale * v for v in box) for box in boxes], image.shape[:2])  # type: ignore[misc]
    found = colours_of(image, large, np.arange(len(boxes)))
    return [None if one is None else one.reshape(3, 3, 6, 6) for one in found]


def plain(colour: Colour, scale: int = 1) -> np.ndarray:
    """(3, 6, 6) the shades of a plain colour."""
    one = looked([((0, 0, 99, 99), colour)], [(10, 10, 60, 60)], scale=scale)[0]
    assert one is not None
    return one.sum(0)


# L*, a* and b* as colour science has them (sRGB, D65), not as any library has them; beyond +-40 all is one tint.
@pytest.mark.parametrize(
    ("colour", "light", "a", "b"),
    [
        pytest.param((255, 255, 255), 100, 0, 0, id="white"),
        pytest.param((0, 0, 0), 0, 0, 0, id="black"),
        pytest.param((128, 128, 128), 53.6, 0, 0, id="grey"),
        pytest.param((255, 0, 0), 53.2, 40, 40, id="red"),
        pytest.param((0, 0, 255), 32.3, 40, -40, id="blue"),
        pytest.param((0, 128, 0), 46.2, -40, 40, id="green"),
        pytest.param((160, 120, 100), 53.8, 12.8, 17.1, id="brown"),
        pytest.param((90, 110, 140), 45.9, 0.4, -18.8, id="slate"),
    ],
)
def test_a_plain_colour_lies_in_its_own_bins(colour: Colour, light: float, a: float, b: float) -> None:
    share = plain(colour)
    assert share.sum() == pytest.approx(1, abs=1e-5)
    steps = [np.linspace(0, 100, 3), np.linspace(-40, 40, 6), np.linspace(-40, 40, 6)]
    for axis, (step, value) in enumerate(zip(steps, (light, a, b), strict=True)):
        of = share.sum(tuple({0, 1, 2} - {axis}))
        assert (of > 1e-6).sum() <= 2, "shared out among its neighbours alone"
        assert of @ step == pytest.approx(value, abs=1.2), "and in the middle of it is the colour"


BANDS = [((60, 10, 100, 28), RED), ((60, 28, 100, 60), GREEN), ((60, 60, 100, 110), BLUE)]


@pytest.mark.parametrize(
    ("down", "others"),
    [
        pytest.param(0, [], id="alone"),
        pytest.param(0, [(120, 0, 150, 70)], id="beside one who is higher up"),
        pytest.param(0, [(120, 60, 190, 119), (2, 60, 20, 119)], id="between two who are lower down"),
        pytest.param(10, [], id="at the picture's lower edge"),
        pytest.param(-10, [], id="at its upper edge"),
    ],
)
@pytest.mark.parametrize("scale", [1, 3, 4])  # of a tall mask every second or third pixel is looked at
def test_bands_are_of_the_masks_height(scale: int, down: int, others: list[Box]) -> None:
    painted: list[tuple[Box, Colour]] = [((x0, y0 + down, x1, y1 + down), colour) for (x0, y0, x1, y1), colour in BANDS]
    found = looked(painted, [*others, (60, 10 + down, 100, 110 + down)], scale=scale)[-1]
    assert found is not None
    tight = 0.004 if scale == 1 else 0.02
    assert found.sum((1, 2, 3)) == pytest.approx([17 / 98, 32 / 98, 49 / 98], abs=tight), "all but the rim's rows"
    for band, colour in zip(found, (RED, GREEN, BLUE), strict=True):
        assert np.allclose(band / band.sum(), plain(colour), atol=tight), "another band's colour"


@pytest.mark.parametrize(("height", "rim"), [(100, 1), (300, 2), (400, 3)])
def test_a_rim_and_what_two_claim_are_left_out(height: int, rim: int) -> None:
    left, two, right = 25, 40, 71  # of the first alone, of both, of the second alone
    top, low = 13, 13 + height
    one, other = (10, top, two, low), (left, top, right, low)
    within = [
        ((10 + rim, top + rim, left - rim, low - rim), RED),
        ((two + rim, top + rim, right - rim, low - rim), BLUE),
    ]
    found = looked([(one, WHITE), (other, WHITE), *within], [one, other, (0, 0, 0, 0)], size=(low + 2, 90))
    for share, colour in zip(found, (RED, BLUE), strict=False):
        assert share is not None
        assert np.allclose(share.sum(0), plain(colour), atol=1e-6)
    assert found[2] is None, "an empty mask"


@pytest.mark.parametrize(
    ("boxes", "seen"),
    [
        pytest.param([(10, 10, 18, 17)], True, id="thirty pixels within"),
        pytest.param([(10, 10, 17, 17)], False, id="twenty-five"),
        pytest.param([(10, 10, 110, 12)], False, id="all of it rim"),
        pytest.param([(10, 1, 14, 240)], True, id="slim, each pixel is looked at"),
        pytest.param([(10, 1, 14, 241)], False, id="slim, every second pixel is"),
        pytest.param([(10, 10, 30, 20), (15, 10, 40, 20)], False, id="most of it another's as well"),
        pytest.param([(0, 0, 0, 0)], False, id="empty"),
    ],
)
def test_too_few_pixels_are_no_look(boxes: list[Box], seen: bool) -> None:
    found = looked([], [*boxes, (120, 10, 160, 90)], size=(250, 200))
    assert [one is not None for one in found[:: len(boxes)]] == [seen, True]
    assert colours_of(np.zeros((9, 9, 3), np.uint8), crops_of([], (9, 9)), np.arange(0)) == []


def shown(**parts: Colour) -> np.ndarray:
    """(BINS,) somebody of whom these bands are seen: head, trunk, legs, as large as they are."""
    out = np.zeros((3, BINS // 3))
    for name, colour in parts.items():
        k = ("head", "trunk", "legs").index(name)
        out[k] = (0.18, 0.32, 0.5)[k] * plain(colour).ravel()
    return (out / out.sum()).ravel()


WHOLE = shown(head=RED, trunk=GREEN, legs=BLUE)


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        pytest.param(WHOLE, 1, id="equal"),
        pytest.param(shown(head=GREEN, trunk=BLUE, legs=RED), 0, id="the same colours elsewhere"),
        pytest.param(shown(trunk=GREEN), 1, id="the trunk alone, which is the same"),
        pytest.param(shown(trunk=RED), 0, id="the trunk alone, which is another"),
        pytest.param(shown(head=RED, trunk=GREEN, legs=RED), 0.5, id="head and trunk are half of somebody"),
        pytest.param(shown(head=RED, trunk=RED), 0.36, id="of what is seen of both"),  # .18 and .32 of each
    ],
)
def test_likeness(other: np.ndarray, alike: float) -> None:
    both = np.stack([WHOLE, other])
    assert likeness(both, both) == pytest.approx(np.array([[1, alike], [alike, 1]]), abs=0.005)


def test_likeness_is_of_pairs_and_unknown_where_nothing_is_seen_of_both() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.dirichlet(np.full(BINS, 0.05), 4), rng.dirichlet(np.full(BINS, 0.05), 3)
    found = likeness(a, b)
    assert found.shape == (4, 3)
    assert np.allclose(found, likeness(b, a).T)
    assert np.allclose(found[2, 1], likeness(a[2:3], b[1:2]))
    assert ((found > 0) & (found < 1)).all()
    assert np.isnan(likeness(shown(trunk=RED)[None], shown(legs=RED)[None])).all(), "another part of the body"


A, B, C = shown(trunk=RED), shown(trunk=BLUE), shown(trunk=GREEN)
HALF = (A + B) / 2
Piece = tuple[int, int, Sequence[np.ndarray]]  # first frame, one past the last, and colours, shared out evenly


def wearing(*pieces: Piece, apart: float | Sequence[float] = 1.0) -> tuple[list[Track], ColourLooks]:
    """Tracks, and colours of each of their frames; none of a piece without colours."""
    tracks: list[Track] = []
    row, share = [], []
    for start, stop, colours in pieces:
        n = stop - start
        segment = 1000 * len(tracks) + np.arange(n)
        if colours:
            row += segment.tolist()
            share += [colours[k * len(colours) // n] for k in range(n)]
        tracks.append(replace(track(start, stop, (50, 50)), segment=segment, apart=np.broadcast_to(apart, n)))
    return tracks, ColourLooks(segment=np.array(row, int), share=np.reshape(share, (-1, BINS)).astype(np.float32))


def test_a_tracks_colours_are_those_of_clear_frames_first() -> None:
    (one,), looks = wearing((0, 4, [A, B, B, B]), apart=[1.0, 0.1, 0.1, 0.1])
    assert 0.8 < np.dot(looks.of(one), A > 0) < 0.9, "one clear look before three covered ones"  # type: ignore[arg-type]
    (one,), looks = wearing((0, 4, [A, B]), apart=[0.5, 0.6, 0.8, 1.0])
    assert np.allclose(looks.of(one), HALF, atol=1e-6), "half of a box that is free is clear"  # type: ignore[arg-type]
    (one,), looks = wearing((0, 2, [A]), apart=0.0)
    assert np.allclose(looks.of(one), A, atol=1e-6), "wholly covered is better than nothing"  # type: ignore[arg-type]
    assert looks.of(replace(one, segment=np.array([7, 8]))) is None, "another's masks"
    # A look at every second frame, and frames without a mask.
    (one,), looks = wearing((0, 4, [A, B, A, C]), apart=[0.0, 1.0, 1.0, 1.0])
    some = ColourLooks(segment=looks.segment[1::2], share=looks.share[1::2])
    pooled = some.of(replace(one, segment=np.array([-1, 1, -1, 3])))
    assert np.allclose(pooled, (B + C) / 2, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("colours", "first", "last"),
    [
        pytest.param([A, A, A, C, C, C, B, B, B], A, B, id="nine looks"),
        pytest.param([A, C, C, C, B], A, B, id="five: one is a third"),
        pytest.param([A, C, B], A, B, id="three"),
        pytest.param([A, B], None, None, id="two"),
        pytest.param([], None, None, id="none"),
    ],
)
def test_a_tracks_earlier_and_later_third(
    colours: list[np.ndarray], first: np.ndarray | None, last: np.ndarray | None
) -> None:
    (one,), looks = wearing((5, 5 + (len(colours) or 4), colours))
    parts = looks.thirds(one)
    if first is None or last is None:
        assert parts is None
    else:
        assert parts is not None
        assert np.allclose(parts, [first, last], atol=1e-6)


def nats(*pieces: Piece, unclear: Sequence[int] = (), scales: ColourScales = SCALES) -> np.ndarray:
    """What colours say of these pieces."""
    tracks, looks = wearing(*pieces)
    return by_colours(tracks, ~np.isin(np.arange(len(tracks)), unclear), looks, scales)


def worth(alike: float, own: Sequence[float], others: Sequence[float]) -> float:
    """The nats of a likeness, had these likenesses been seen of one person, and of people seen together."""
    other = (1.5 * 0.38 + sum(others)) / (1.5 + len(others))
    same = max((1.5 * 0.91 + sum(own)) / (1.5 + len(own)), other)
    return float(np.clip((alike - (same + other) / 2) * (same - other) / 0.17**2, -4, 4))


MIXED = 0.9 * A + 0.1 * B  # sqrt(0.45) + sqrt(0.05) like HALF
NEAR = np.sqrt(0.45) + np.sqrt(0.05)
TWO: list[Piece] = [(0, 9, [MIXED]), (9, 18, [HALF])]


@pytest.mark.parametrize(
    ("pieces", "unclear", "said"),
    [
        pytest.param([(0, 9, [A]), (9, 18, [A])], [], 4, id="the same clothes"),
        pytest.param([(0, 9, [A]), (9, 18, [B])], [], -4, id="others"),
        pytest.param(TWO, [], worth(NEAR, [1, 1], []), id="nearly the same"),
        pytest.param([(0, 2, [MIXED]), (9, 11, [HALF])], [], worth(NEAR, [], []), id="too short to be like oneself"),
        pytest.param([*TWO, (20, 29, [A]), (22, 31, [A])], [], worth(NEAR, [1] * 4, [1]), id="others wear the same"),
        pytest.param([*TWO, (20, 29, [A]), (26, 35, [A])], [], worth(NEAR, [1] * 4, [1]), id="seen for three frames"),
        pytest.param([*TWO, (20, 29, [A]), (27, 36, [A])], [], worth(NEAR, [1] * 4, []), id="for two: a slip"),
        pytest.param([*TWO, (20, 29, [A]), (22, 31, [A])], [3], worth(NEAR, [1] * 3, []), id="the same, but not clear"),
        pytest.param([*TWO, (20, 29, []), (20, 29, [A])], [], worth(NEAR, [1] * 3, []), id="but not looked at"),
        pytest.param([*TWO, (20, 29, [A, C, B])], [], worth(NEAR, [1, 1, 0], []), id="a light that changes"),
        pytest.param([*TWO, (20, 29, [A, C, B])], [2], worth(NEAR, [1, 1], []), id="where nobody is clear"),
    ],
)  # fmt: skip
def test_what_colours_say(pieces: list[Piece], unclear: list[int], said: float) -> None:
    found = nats(*pieces, unclear=unclear)
    assert found[0, 1] == found[1, 0] == pytest.approx(said, abs=1e-3)


def test_in_one_dress_colours_say_about_nothing_and_a_changing_light_lowers_them() -> None:
    alone = nats((0, 9, [A]), (9, 18, [A]))[0, 1]
    pair = nats((0, 9, [A]), (0, 9, [A]), (9, 18, [A]), (9, 18, [A]))[0, 3]
    eight = nats(*[(0, 9, [A])] * 8, *[(9, 18, [A])] * 8)[0, 9]
    assert alone > 3
    assert 0.05 > eight >= 0
    assert 1.5 > pair > eight
    apart = nats((0, 9, [A]), (0, 9, [B]), (9, 18, [A]), (9, 18, [B]))
    assert apart[0, 2] > 3 > -3 > apart[0, 3]
    moving = nats((0, 9, [A, HALF, B]), (9, 18, [B, HALF, A]), (30, 39, [C]))
    assert abs(moving[0, 2]) < 4
    assert moving[0, 2] > nats((0, 9, [HALF]), (9, 18, [HALF]), (30, 39, [C]))[0, 2]
    never = nats(*[(0, 9, [A, C, B])] * 6, (9, 18, [A]))
    assert not never.any(), "nobody is less like themselves than like others"


def test_no_colours_say_nothing() -> None:
    found = nats((0, 9, [A]), (9, 18, []), (9, 18, [B]), scales=replace(SCALES, most=0.5))
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()
    assert found[0, [0, 2]].tolist() == [0.5, -0.5], "at most so many nats"
    assert by_colours([], np.zeros(0, bool), wearing()[1], SCALES).shape == (0, 0)
    assert np.isnan(nats((0, 9, []), (9, 18, []))).all()
    parts = nats((0, 9, [shown(head=RED)]), (0, 9, [shown(legs=RED)]), (9, 18, [A]), (9, 18, [A]))
    assert np.isnan(parts[0, 1:]).all(), "another part of the body"
    assert parts[2, 3] == pytest.approx(worth(1, [1] * 4, [1])), "which teaches nothing"
