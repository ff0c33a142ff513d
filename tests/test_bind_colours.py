"""Frames that go by -> what people wear -> who is whom: beside re-ID, in whole bindings, through the stage, and not
where looks are taken away."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.records import Artifact, People, load_record, save_record
from flows.bench_take import light_stages
from flows.presets import light
from tasks import bind as stage
from tasks import stress
from tasks.ops.bind import Watch
from tasks.ops.bind_cost import Costs
from tasks.ops.bind_points import PointScales
from tasks.ops.bind_weigh import likeness_of
from tasks.ops.cast import Watched
from tasks.ops.colour_looks import BINS, ColourLooks, ColourTaker, by_colours
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.tracks import tracks_of
from tests.clip_items import clip_item, env_at
from tests.draw_tracks import FPS, Figure, Scene, draw, picture
from tests.test_bind import whose
from tests.test_bind_by_points import APART, PLACES, STILL, TURN, T, bound
from tests.test_bind_evidence import track
from tests.test_colour_looks import BLUE, GREEN, RED, crops_of, plain


def filmed(frames: int, fps: float) -> tuple[list[np.ndarray], ColourTaker]:
    """Frames in which one wears red, in the second half blue, and another, too small in every second one, green."""
    boxes = [box for t in range(frames) for box in ((5, 5, 35, 55), (45, 5, 75, 55 if t % 2 else 8))]
    pictures = [np.full((60, 80, 3), RED if 2 * t < frames else BLUE, np.uint8) for t in range(frames)]
    for one in pictures:
        one[:, 40:] = GREEN
    return pictures, ColourTaker(crops=crops_of(boxes, (60, 80)), frame=np.repeat(np.arange(frames), 2), fps=fps)


@pytest.mark.parametrize(
    ("fps", "step"), [(2.0, 1), (8.0, 1), (12.0, 2), (24.0, 3), (25.0, 3), (30000 / 1001, 4), (60.0, 8), (120.0, 15)]
)
def test_frames_go_by_unchanged_and_are_looked_at_eight_times_a_second(fps: float, step: int) -> None:
    pictures, taker = filmed(40, fps)
    before = [one.copy() for one in pictures]
    passed = list(taker.watching(pictures))
    assert all(one is given for one, given in zip(passed, pictures, strict=True))
    assert np.array_equal(passed, before)
    found = taker.taken
    want = [2 * t + k for t in range(0, 40, step) for k in range(1 + t % 2)]
    assert found.segment.tolist() == want, "masks of the frames that are looked at, but those that are too small"
    for row, share in zip(found.segment.tolist(), found.share, strict=True):
        colour = GREEN if row % 2 else RED if row < 40 else BLUE
        assert np.allclose(share.reshape(3, 3, 6, 6).sum(0), plain(colour), atol=1e-6)


def test_a_reader_may_stop_early_and_go_on_later() -> None:
    pictures, taker = filmed(40, 25.0)
    assert taker.taken.share.shape == (0, BINS)
    frames = taker.watching(pictures)
    assert taker.taken.segment.tolist() == [], "nothing is read before it is asked for"
    for _ in itertools.islice(frames, 7):
        pass
    assert taker.taken.segment.tolist() == [0, 6, 7, 12]
    assert len(list(frames)) == 33
    assert taker.taken.segment.max() == 39 * 2 + 1
    _, taker = filmed(40, 25.0)
    assert len(list(taker.watching(pictures[:5]))) == 5, "a film that ends before its masks do"
    assert taker.taken.segment.tolist() == [0, 6, 7]


def test_of_a_long_clip_colours_are_held_and_no_frames() -> None:
    pictures, taker = filmed(200, 25.0)
    seen: list[weakref.ref[np.ndarray]] = []

    def reading() -> Iterator[np.ndarray]:
        for one in pictures:
            fresh = one.copy()
            seen.append(weakref.ref(fresh))
            yield fresh

    for _ in taker.watching(reading()):
        assert sum(ref() is not None for ref in seen) <= 2
    found = taker.taken
    assert found.share.dtype == np.float32
    assert found.share.nbytes == len(found.segment) * BINS * 4


COSTS = Costs()
# Of each track: whether it is clear, its look, its colours, and what it counts for.
KNOWN = [
    pytest.param(True, True, True, 1.0, id="clear, with both"),
    pytest.param(True, True, False, 1.0, id="clear, re-ID alone"),
    pytest.param(True, False, True, 1.0, id="clear, colours alone"),
    pytest.param(True, False, False, 1.0, id="clear, neither: of some stature"),
    pytest.param(False, True, True, 0.6, id="a fragment with both"),
    pytest.param(False, True, False, 0.3, id="a fragment, re-ID alone"),
    pytest.param(False, False, True, 0.6, id="a fragment, colours alone"),
    pytest.param(False, False, False, 0.0, id="a fragment, neither"),
]


@pytest.mark.parametrize(("clear", "look", "colours", "counts"), KNOWN)
@pytest.mark.parametrize(("clear_b", "look_b", "colours_b", "counts_b"), KNOWN)
def test_colours_are_weighed_with_reid(
    clear: bool, look: bool, colours: bool, counts: float,
    clear_b: bool, look_b: bool, colours_b: bool, counts_b: float,
) -> None:  # fmt: skip
    half, most = np.zeros((2, BINS), np.float32)
    half[[100, 150]], most[[100, 150]] = 0.5, (0.9, 0.1)
    one = replace(track(0, 9, (50, 50), look=[1, 0] if look else None), segment=np.arange(9))
    two = replace(track(20, 29, (50, 50), look=[0.7, 0.714] if look_b else None), segment=np.arange(20, 29))
    seen = [*range(9)] * colours + [*range(20, 29)] * colours_b
    looks = ColourLooks(segment=np.array(seen, int), share=np.array([half if k < 9 else most for k in seen]))
    looks = looks if seen else ColourLooks(segment=np.zeros(0, int), share=np.zeros((0, BINS), np.float32))
    tracks, sure = [one, two], np.array([clear, clear_b])
    found = likeness_of(tracks, sure, (300, 400), COSTS, looks)
    assert np.diag(found).tolist() == [counts, counts_b]
    # Of re-ID alone, of stature alone.
    by_reid = likeness_of(tracks, sure, (300, 400), COSTS)[0, 1]
    stature = likeness_of([replace(one, look=None) for one in tracks], sure, (300, 400), COSTS)[0, 1]
    want = by_reid
    if colours and colours_b:
        shades = by_colours(tracks, sure, looks, COSTS.colours)[0, 1]
        assert abs(shades) > 1, "this shows nothing"
        want = stature + 0.4 * (by_reid - stature) + shades * counts * counts_b
    assert found[0, 1] == found[1, 0] == pytest.approx(want)
    assert (abs(by_reid - stature) > 0.1) == (look and look_b)


def dressed(figures: Sequence[Figure], clothes: Sequence[int]) -> list[np.ndarray]:
    """Pictures of these figures in clothes that re-ID need not know."""
    worn = [replace(figure, look=look) for figure, look in zip(figures, clothes, strict=True)]
    return [picture(worn, t) for t in range(T)]


def watching(pictures: list[np.ndarray], scene: Scene) -> Watch:
    """The colours of a scene."""

    def watch(_: object, crops: MaskCrops) -> Watched:
        taker = ColourTaker(crops=crops, frame=scene.segments.frame, fps=FPS)
        assert len(list(taker.watching(pictures))) == T
        return Watched(colours=taker.taken)

    return watch


WRONG, RIGHT = [{0, 1}, {0, 1}], [{0}, {1}]
TWO = [(0, 26), (34, T)]
PASS = [Figure(x=np.linspace(60, 140, T)[::way].tolist(), foot=112 - 3 * way, pieces=TWO) for way in (1, -1)]


@pytest.mark.parametrize("reid", [True, False])  # it says nothing of two who look alike to it, nor where it is not
@pytest.mark.parametrize(
    ("figures", "clothes", "before", "after"),
    [
        pytest.param(TURN, [0, 1], WRONG, RIGHT, id="they turn back, though all moves as if they passed"),
        pytest.param(PLACES, [0, 1], WRONG, RIGHT, id="they change places while nobody is found"),
        pytest.param(TURN, [2, 2], WRONG, WRONG, id="in one dress colours say nothing"),
        pytest.param(PASS, [0, 1], RIGHT, RIGHT, id="they pass, as they move"),
        pytest.param(PASS, [2, 2], RIGHT, RIGHT, id="they pass, in one dress"),
    ],
)
def test_colours_decide_who_is_who(
    figures: list[Figure], clothes: list[int], before: list[set[int]], after: list[set[int]], reid: bool
) -> None:
    scene = draw(figures)
    if not reid:
        none = np.zeros_like(scene.tracklets.embedding)
        tracklets, segments = replace(scene.tracklets, embedding=none), replace(scene.segments, embedding=none)
        scene = replace(scene, tracklets=tracklets, segments=segments)
    assert whose(bound(scene, None), figures, scene) == before, "by boxes alone"
    assert whose(bound(scene, watching(dressed(figures, clothes), scene)), figures, scene) == after


def through(folder: Path, figures: list[Figure], *, blind: bool = False, left: float = 1.0, brought: bool = False,
            colours: bool = True) -> list[set[int]]:  # fmt: skip
    """Whose boxes the stage's people have, of figures dressed in two colours; left: share of the video's bytes."""
    scene, env = draw(figures), env_at(folder, folder)
    item = clip_item(dressed(figures, [0, 1]), folder / "shots")
    video = folder / "shots" / "00000000.mp4"
    video.write_bytes(video.read_bytes()[: round(left * video.stat().st_size)])
    records = {"tracklets": scene.tracklets, "poses": scene.poses, "segments": scene.segments, "camera": STILL}
    for name, record in records.items():
        save_record(record, folder / f"{name}.npz")
    names = ("track", "pose", "segment", *(stage.TRACKS if brought else ()))
    item = replace(item, artifacts={**item.artifacts, **dict.fromkeys(names, Artifact(key="made", path=str(folder)))})
    config = replace(light(), bind=stage.Config(points=False, colours=colours))
    for part, settings in light_stages(config, blind):
        if part in (stress.BLIND_TRACK, stress.BLIND_SEGMENT, stage.STAGE):
            out = folder / f"{part.name} out"
            out.mkdir(exist_ok=True)
            part.compute(item, settings, env, out)
            item = replace(item, artifacts={**item.artifacts, part.name: Artifact(key="new", path=str(out))})
    return whose(load_record(People, item.folder("bind") / "people.npz"), figures, scene)


@pytest.mark.parametrize("left", [1.0, 0.5, 0.0])
@pytest.mark.parametrize(
    ("figures", "settings", "owners", "reads"),
    [
        pytest.param(TURN, {}, RIGHT, True, id="colours tell"),
        pytest.param(TURN, {"colours": False}, WRONG, False, id="no colours are wanted"),
        pytest.param(TURN, {"brought": True}, WRONG, False, id="ids were brought"),
        pytest.param(APART, {}, RIGHT, False, id="nobody could go on as anybody else"),
    ],
)
def test_the_stage_looks_at_the_video_where_colours_tell(
    figures: list[Figure], settings: dict[str, bool], owners: list[set[int]], reads: bool, left: float, tmp_path: Path
) -> None:
    if left < 1 and reads:
        with pytest.raises(ValueError, match=r"00000000\.mp4"):
            through(tmp_path, figures, left=left, **settings)
    else:
        assert through(tmp_path, figures, left=left, **settings) == owners


@pytest.mark.parametrize(("blind", "owners"), [(False, RIGHT), (True, WRONG)])
@pytest.mark.parametrize(
    ("looks", "colours"), [pytest.param([0, 1], False, id="re-ID"), pytest.param([0, 0], True, id="colours"),
                           pytest.param([0, 1], True, id="both")],
)  # fmt: skip
def test_the_stress_looks_takes_all_looks_away(
    looks: list[int], colours: bool, blind: bool, owners: list[set[int]], tmp_path: Path
) -> None:
    figures = [replace(figure, look=look) for figure, look in zip(TURN, looks, strict=True)]
    assert through(tmp_path, figures, blind=blind, colours=colours) == owners


def test_blind_is_bind_as_set_without_colours() -> None:
    config = replace(light(), bind=stage.Config(people=2, touch=0.3))
    for blind in (False, True):
        (found,) = [settings for part, settings in light_stages(config, blind) if part is stage.STAGE]
        assert found == replace(config.bind, colours=not blind)
    assert config.bind.colours, "the caller's own stays"


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("colours", [True, False])
@pytest.mark.parametrize("again", [8, 10])  # the frame in which they are found again
def test_colours_are_of_the_whole_clip_whatever_points_want(
    again: int, points: bool, colours: bool, tmp_path: Path
) -> None:
    figures = [replace(figure, pieces=[(0, 8), (again, T)]) for figure in TURN]
    scene = draw(figures)
    item = clip_item(dressed(figures, [0, 1]), tmp_path / "shots")
    config, scales = stage.Config(points=points, colours=colours), replace(PointScales(), end_s=0.2, slide_s=0.1)
    tracks = tracks_of(scene.tracklets, scene.segments, np.tile(np.eye(2, 3), (T, 1, 1)), clinch=2.0)
    found = stage._watching(item, scene.segments, config, scales)(tracks, MaskCrops(scene.segments.mask))
    assert (found.points is not None, found.colours is not None) == (points, colours)
    if found.colours is not None:
        frames = sorted(set(scene.segments.frame[found.colours.segment].tolist()))
        assert frames == [t for t in range(0, T, 3) if not 8 <= t < again], "every third, with people in it"
    if found.points is not None:
        assert 8 < found.points.frame.max(initial=0) < 20, "about the contact alone"
        assert found.points.frame.min(initial=T) < 5
