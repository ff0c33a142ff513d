"""Points on bodies -> who goes on as whom: nats from track to track, and tracks that slide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import Segments, Tracklets
from tasks.ops.bind_points import PointScales, _slides, carried, unslid
from tasks.ops.point_tracks import PointTracks
from tasks.ops.tracks import Track, tracks_of
from tests.draw_tracks import FPS, SIZE

SCALES = PointScales()
Span = tuple[int, int, int]  # track, first frame, one past the last
Group = tuple[int, list[Span]]  # so many points, and where they lie
# A: track 0, then 2. B: track 1, then 3. Half a second of each, seven frames unseen.
CROSS = [(0, 20), (0, 20), (27, 47), (27, 47)]
PAIR = [(0, 60), (0, 60)]


def made(spans: Sequence[tuple[int, int]]) -> tuple[list[Track], Tracklets, Segments]:
    """Tracks of these frames [start, stop), a mask in each, and what they are made from; looks are the frame's."""
    rows = sorted((t, k) for k, (start, stop) in enumerate(spans) for t in range(start, stop))
    frame, name = (np.array(column, np.int32) for column in zip(*rows, strict=True))
    look = np.stack([np.ones(len(rows)), frame / 10], 1).astype(np.float32)
    score = np.ones(len(rows), np.float32)
    box = np.tile(np.array([0, 0, 10, 20], np.float32), (len(rows), 1))
    box[:, [0, 2]] += 50 * name[:, None]
    tracklets = Tracklets(frame=frame, box=box, score=score, tracklet=name, embedding=look)
    empty = Masks.from_counts([b""] * len(rows), size=SIZE)
    segments = Segments(frame=frame, tracklet=name, score=score, mask=empty, embedding=look)
    still = np.tile(np.eye(2, 3), (int(frame.max()) + 1, 1, 1))
    return tracks_of(tracklets, segments, still, clinch=2.0), tracklets, segments


def points_on(tracks: Sequence[Track], *groups: Group) -> PointTracks:
    """Each group: so many points, and on which track they lie when."""
    rows, count, named = [], 0, {track.tracklet: track for track in tracks}
    for many, spans in groups:
        for k, start, stop in spans:
            here = (named[k].frame >= start) & (named[k].frame < stop)
            pairs = zip(named[k].frame[here], named[k].segment[here], strict=True)
            rows += [(int(t), count + n, int(segment)) for t, segment in pairs for n in range(many)]
        count += many
    frame, point, segment = np.array(sorted(rows), int).reshape(-1, 3).T
    return PointTracks(point=point, frame=frame, segment=segment)


def nats(*groups: Group, spans: Sequence[tuple[int, int]] = CROSS, **scales: float) -> np.ndarray:
    """What these points say of these tracks."""
    tracks = made(spans)[0]
    return carried(tracks, points_on(tracks, *groups), FPS, replace(SCALES, **scales))  # type: ignore[arg-type]


def told(stay: int, lost: int, of: int) -> float:
    return 3.0 * float(np.log((stay + 0.2 * of + 0.5) / (lost + 0.2 * of + 0.5)))


@pytest.mark.parametrize("hidden", [0, 15])  # points on the other, before and after
@pytest.mark.parametrize("front", [0, 1])
def test_of_two_who_cross_the_one_in_front_keeps_their_points(front: int, hidden: int) -> None:
    back = 1 - front
    own = (20, [(front, 0, 20), (front + 2, 27, 47)])
    found = nats(own, (hidden, [(back, 0, 20)]), (hidden, [(back + 2, 27, 47)]))
    assert found[front, front + 2] == pytest.approx(2 * told(20, 0, 20))
    assert found[front, back + 2] == pytest.approx(told(0, 20, 20))
    assert found[back, front + 2] == pytest.approx(told(0, 20, 20))
    assert found[back, back + 2] == 0, "who was hidden is whoever is left"
    assert found[front, front + 2] > 8 > 0 > -4 > found[front, back + 2]
    assert not found[2:].any(), "back in time"
    assert not found[:2, :2].any(), "of the same time"


def test_both_are_told_apart_where_both_keep_points() -> None:
    groups = [(20, [(0, 0, 20), (2, 27, 47)]), (10, [(1, 0, 20), (3, 27, 47)])]
    found = nats(*groups)
    assert found[[0, 1], [2, 3]] == pytest.approx([2 * told(20, 0, 20), 2 * told(10, 0, 10)])
    assert found[0, 3] == pytest.approx(told(0, 20, 20) + told(0, 10, 10)) == pytest.approx(found[1, 2])
    exchanged = nats((20, [(0, 0, 20), (3, 27, 47)]), (10, [(1, 0, 20), (2, 27, 47)]))
    assert np.allclose(exchanged[:2, [3, 2]], found[:2, 2:])
    assert np.allclose(nats(*groups, weight=1.5), found / 2)


def test_a_few_that_come_through_of_many_say_nearly_nothing() -> None:
    groups = [(38, [(0, 0, 20)]), (2, [(0, 0, 20), (3, 27, 47)]), (30, [(3, 27, 47)])]
    assert 0 < nats(*groups)[0, 3] < 2.5
    assert nats(*groups, few=0.0)[0, 3] > 9, "without the share they would decide"
    assert -1 < nats(*groups)[0, 2] < 0


@pytest.mark.parametrize(
    ("groups", "speaks"),
    [
        pytest.param([(9, [(0, 0, 20), (2, 27, 47)])], True, id="at the end and at the beginning"),
        pytest.param([], False, id="no points"),
        pytest.param([(9, [(0, 0, 20)]), (9, [(2, 27, 47)])], False, id="of each alone"),
        pytest.param([(9, [(0, 0, 8), (2, 27, 47)])], False, id="gone half a second before the end"),
        pytest.param([(9, [(0, 0, 20), (2, 39, 47)])], False, id="there half a second after the beginning"),
        pytest.param([(9, [(0, 0, 10), (2, 37, 47)])], True, id="just within half a second of both"),
        pytest.param([(9, [(0, 19, 20), (2, 27, 47)])], False, id="a single sight at the end"),
        pytest.param([(9, [(0, 0, 20), (2, 27, 28)])], False, id="a single sight at the beginning"),
        pytest.param([(9, [(0, 8, 14), (1, 14, 20), (2, 27, 47)])], True, id="as often on both: the first's"),
        pytest.param([(9, [(0, 16, 20), (1, 10, 16), (2, 27, 47)])], False, id="more often on another"),
    ],
)  # fmt: skip
def test_which_points_speak(groups: list[Group], speaks: bool) -> None:
    found = nats(*groups)
    assert found[0, 2] > 3 if speaks else found[0, 2] <= 0, found[0, 2]
    assert groups or not found.any()


def test_masks_that_are_no_tracks_hold_nobody() -> None:
    tracks = made(CROSS)[0]
    points = points_on(tracks, (20, [(0, 0, 20), (2, 27, 47)]), (20, [(1, 0, 20), (3, 27, 47)]))
    both = carried(tracks, points, FPS, SCALES)
    assert carried(tracks[::2], points, FPS, SCALES)[0, 1] == pytest.approx(both[0, 2])
    assert carried([], points, FPS, SCALES).shape == (0, 0)
    assert not carried(tracks[1::2], points_on(tracks, (20, [(0, 0, 20), (2, 27, 47)])), FPS, SCALES).any()


@pytest.mark.parametrize(("start", "speaks"), [(20, True), (57, True), (58, False), (19, False)])
def test_how_long_after_points_speak(start: int, speaks: bool) -> None:
    # 1.5 s are 37.5 frames.
    assert (nats((20, [(0, 0, 20), (1, start, 80)]), spans=[(0, 20), (start, 80)])[0, 1] > 3) == speaks


def slid(*groups: Group, spans: Sequence[tuple[int, int]], **scales: float) -> list[list[Track]]:
    """Of each track what is left of it: itself, or its pieces."""
    tracks, tracklets, segments = made(spans)
    points = points_on(tracks, *groups)
    out = unslid(tracks, points, tracklets, segments, FPS, replace(SCALES, **scales))  # type: ignore[arg-type]
    assert [(one.start, one.tracklet) for one in out] == sorted((one.start, one.tracklet) for one in out)
    parts = [[one for one in out if one.tracklet == track.tracklet] for track in tracks]
    for track, pieces in zip(tracks, parts, strict=True):
        assert len(pieces) > 1 or pieces[0] is track
        for name in ("row", "frame", "box", "steady", "score", "apart", "segment"):
            assert np.array_equal(np.concatenate([getattr(one, name) for one in pieces]), getattr(track, name))
    return parts


# A track lies on one person, and from frame `at` on on another; the first one's points are then on the other track.
@pytest.mark.parametrize("order", [pytest.param((0, 1), id="the first"), pytest.param((1, 0), id="the second")])
@pytest.mark.parametrize("at", [20, 27])
def test_a_track_that_slides_is_cut_there(at: int, order: tuple[int, int]) -> None:
    slides, other = order
    gone = slid((20, [(slides, 0, at), (other, at, 60)]), spans=PAIR)
    come = slid((20, [(other, 0, at), (slides, at, 60)]), spans=PAIR)
    for parts in (gone, come):  # both are cut: points went from the one, and came to the other
        assert [len(pieces) for pieces in parts] == [2, 2]
        assert abs(parts[slides][1].start - at) <= 1
    # As most often: it slides as soon as it begins.
    late = slid((20, [(slides, at - 2, at), (other, at, 60)]), spans=[(at - 2, 60), (0, 60)][:: 1 if other else -1])
    cut = [pieces for pieces in late if pieces[0].start == at - 2]
    assert [abs(piece.start - at) <= 1 for piece in cut[0][1:]] == [True]


def test_each_piece_has_its_own_look_and_two_slides_are_two_cuts() -> None:
    away, back = (20, [(0, 0, 20), (1, 20, 40), (0, 40, 60)]), (20, [(1, 0, 20), (0, 20, 40), (1, 40, 60)])
    parts = slid(away, back, spans=PAIR)
    assert [len(pieces) for pieces in parts] == [3, 3]
    assert all(abs(piece.start - at) <= 1 for pieces in parts for piece, at in zip(pieces, (0, 20, 40), strict=True))
    looks = [piece.look[1] / piece.look[0] for piece in parts[0] if piece.look is not None]
    assert np.allclose(looks, [piece.frame.mean() / 10 for piece in parts[0]]), "looks of another piece"


# Of track 0's points at frame 20: those that stay, those that go over to track 1, and those that are lost.
@pytest.mark.parametrize(
    ("stay", "over", "lost", "scales", "cut"),
    [
        pytest.param(0, 0, 30, {}, False, id="all are lost"),
        pytest.param(0, 20, 0, {}, True, id="all go over"),
        pytest.param(10, 20, 0, {}, True, id="two thirds go over"),
        pytest.param(20, 20, 0, {}, False, id="half of them stay"),
        pytest.param(20, 20, 0, {"beside": 1.0}, True, id="half of them stay, beside 1"),
        pytest.param(0, 6, 30, {}, True, id="of those few that are left all go over"),
        pytest.param(0, 6, 40, {}, False, id="too few of all"),
        pytest.param(0, 6, 40, {"slide": 0.1}, True, id="too few of all, slide 0.1"),
        pytest.param(0, 4, 0, {}, False, id="too few"),
        pytest.param(0, 4, 0, {"least": 4}, True, id="too few, least 4"),
        pytest.param(0, 5, 0, {}, True, id="just enough"),
    ],
)
def test_when_a_track_slides(stay: int, over: int, lost: int, scales: dict[str, float], cut: bool) -> None:
    # Many new points on the other track: it does not slide.
    groups = [(stay, [(0, 0, 40)]), (over, [(0, 0, 20), (1, 20, 40)]), (lost, [(0, 0, 20)]), (60, [(1, 0, 40)])]
    assert [len(pieces) for pieces in slid(*groups, spans=PAIR, **scales)] == [1 + cut, 1]
    assert [len(pieces) for pieces in slid(spans=PAIR, **scales)] == [1, 1], "without points"


# Of so many points on track 0 before frame 20 and after it, so many are the same.
@pytest.mark.parametrize(
    ("before", "after", "stay", "scales", "cut"),
    [
        pytest.param(60, 80, 0, {}, True, id="all are others: somebody else"),
        pytest.param(97, 97, 3, {}, True, id="few stay"),
        pytest.param(90, 90, 10, {}, True, id="a tenth stays"),
        pytest.param(80, 80, 20, {}, False, id="a fifth stays: somebody turns"),
        pytest.param(80, 80, 20, {"broken": 0.25}, True, id="a fifth stays, broken 0.25"),
        pytest.param(60, 39, 0, {}, False, id="too few to tell"),
        pytest.param(60, 39, 0, {"many": 39}, True, id="too few to tell, many 39"),
        pytest.param(60, 0, 0, {}, False, id="nothing is seen of them after"),
    ],
)
def test_a_track_is_cut_where_nothing_stays(
    before: int, after: int, stay: int, scales: dict[str, float], cut: bool
) -> None:
    groups = [(before, [(0, 0, 20)]), (after, [(0, 20, 40)]), (stay, [(0, 0, 40)])]
    parts = slid(*groups, spans=PAIR, **scales)[0]
    assert len(parts) == 1 + cut
    assert not cut or abs(parts[1].start - 20) <= 1


@pytest.mark.parametrize(("away", "slide_s", "cut"), [(5, 0.25, True), (12, 0.25, False), (12, 0.6, True)])
def test_points_that_are_long_away_have_not_gone_over(away: int, slide_s: float, cut: bool) -> None:
    assert (len(slid((20, [(0, 0, 20), (1, 20 + away, 60)]), spans=PAIR, slide_s=slide_s)[0]) == 2) == cut


def strewn(seed: int) -> tuple[list[Track], PointTracks]:
    """Tracks that come and go, one of them left out, and points that wander between their masks, seen now and then:
    none of them in some frames, nor on one of the tracks for long."""
    rng = np.random.default_rng(seed)
    cut = rng.integers(12, 28, 4).tolist()
    tracks, _, segments = made(
        [(0, cut[0]), (0, cut[1]), (cut[0], 40), (cut[1] + 4, 40), (0, 40), (cut[2], cut[2] + 9)]
    )
    rows = []
    for point in range(200):
        start, home = int(rng.integers(40)), int(rng.integers(6))
        for t in range(start, min(start + int(rng.integers(1, 30)), 40)):
            here = np.flatnonzero(segments.frame == t)
            if home not in segments.tracklet[here] or rng.random() < 0.1:
                home = int(rng.choice(segments.tracklet[here]))
            if rng.random() < 0.8 and t % 5 != 2 and not (home == 4 and 8 < t < 30):
                rows.append((t, point, int(here[segments.tracklet[here] == home][0])))
    frame, point, segment = np.array(sorted(rows)).T
    return tracks[:-1], PointTracks(point=point, frame=frame, segment=segment)


def lying_on(tracks: Sequence[Track], points: PointTracks, start: int, stop: int, least: int) -> dict[int, int]:
    """Point -> the track that it lies on most in frames [start, stop), one sight after another; the first of equals."""
    owner = {segment: k for k, track in enumerate(tracks) for segment in track.segment.tolist()}
    count: dict[int, Counter[int]] = {}
    for point, t, segment in zip(points.point.tolist(), points.frame.tolist(), points.segment.tolist(), strict=True):
        if start <= t < stop and segment in owner:
            count.setdefault(point, Counter())[owner[segment]] += 1
    most = {point: max(sorted(on), key=lambda k, on=on: on[k]) for point, on in count.items()}  # type: ignore[misc]
    return {point: k for point, k in most.items() if count[point][k] >= least}


def passed(before: dict[int, int], after: dict[int, int], i: int, j: int) -> tuple[int, int, int]:
    """Points on i, then j; on i, then others; on others, then j."""
    both = [(before[point], after[point]) for point in before.keys() & after.keys()]
    stay = both.count((i, j))
    return stay, sum(was == i for was, _ in both) - stay, sum(now == j for _, now in both) - stay


def on(lying: dict[int, int], track: int) -> int:
    return list(lying.values()).count(track)


@pytest.mark.parametrize("seed", range(8))
def test_slides_are_those_of_points_counted_one_by_one(seed: int) -> None:
    tracks, points = strewn(seed)
    least = 2 * (seed % 2)
    want: list[dict[int, float]] = [{} for _ in tracks]
    for t in sorted(set(points.frame.tolist())):
        before, after = (lying_on(tracks, points, start, start + 6, 1) for start in (t - 6, t))
        for k, track in enumerate(tracks):
            stay, gone, come = passed(before, after, k, k)
            few, many = sorted((on(before, k), on(after, k)))
            much = [few] if few >= 12 and stay < 0.3 * few else []
            much += [
                lost for lost, of in ((gone, before), (come, after)) if lost >= max(1.5 * stay, 0.15 * on(of, k), least)
            ]
            if many and much and track.start + 2 <= t < track.stop - 1:
                want[k][t] = max(much) / (stay + 1)
    assert _slides(tracks, points, 6, replace(SCALES, least=least, many=12, broken=0.3)) == want
    assert sum(map(len, want)) > 1, "too few slides to show anything"


@pytest.mark.parametrize("seed", range(8))
def test_nats_are_those_of_points_counted_one_by_one(seed: int) -> None:
    tracks, points = strewn(seed)
    want = np.zeros((len(tracks), len(tracks)))
    for i, one in enumerate(tracks):
        for j, two in enumerate(tracks):
            if one.stop <= two.start <= one.stop + 37:
                before, after = (lying_on(tracks, points, start, start + 6, 2) for start in (one.stop - 6, two.start))
                stay, gone, come = passed(before, after, i, j)
                want[i, j] = told(stay, gone, on(before, i)) + told(stay, come, on(after, j))
    assert np.allclose(carried(tracks, points, FPS, replace(SCALES, end_s=0.24)), want)
    assert want.any(), "no points speak"
