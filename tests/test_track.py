"""Tracklets: cut where it is unsure, and only there; trackers and appearance networks; the track stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from datasets.masks import Masks
from datasets.records import Detections, Segments, Tracklets, load_record, save_record
from tasks import detect, track
from tasks.backends.boxmot import BoxMOTTracker
from tasks.backends.reid import unit
from tasks.backends.table import Where, embedder
from tasks.batch import Batch
from tasks.ops.crops import person_crop
from tasks.ops.half_boxes import halves
from tasks.ops.quick_mask import quick_mask
from tasks.ops.tracklets import Limits, Rows, adopt, cut
from tasks.ops.tracks import tracks_of
from tests import tiny_weights
from tests.clip_items import clip_item, env_at

LIMITS = Limits(contact_iou=0.3, gap_s=0.25, jump=0.25, resize=2.0, alike=0.45)
TRACKERS = ("bytetrack", "botsort", "occluboost")
RED, BLUE = np.eye(4)[0], np.eye(4)[1]


def rows(*people: Callable[[int], tuple[float, ...] | None], frames: int = 40, looks: dict | None = None) -> Rows:
    """Rows of people given as frame -> (centre x[, width, height]) or None; person i has track i.

    looks: (track, frame) -> appearance vector.
    """
    out = []
    for t in range(frames):
        for i, person in enumerate(people):
            place = person(t)
            if place is not None:
                x, width, height = (*place, 40, 100)[0], *(place[1:] or (40, 100))
                out.append((t, (x - width / 2, 200 - height / 2, x + width / 2, 200 + height / 2), i))
    embedding = np.zeros((len(out), 4))
    for n, (t, _, i) in enumerate(out):
        embedding[n] = (looks or {}).get((i, t), 0)
    return Rows(
        frame=np.array([t for t, _, _ in out]),
        box=np.array([box for _, box, _ in out], float),
        track=np.array([i for _, _, i in out]),
        embedding=embedding,
        fps=25.0,
    )


def spans(made: Rows, tracklet: np.ndarray) -> list[list[tuple[int, int]]]:
    """(first, last) frame of each track's tracklets."""
    return [
        sorted(
            (int(made.frame[tracklet == k].min()), int(made.frame[tracklet == k].max()))
            for k in np.unique(tracklet[made.track == i])
        )
        for i in np.unique(made.track[made.track >= 0])
    ]


@pytest.mark.parametrize(
    ("made", "want"),
    [
        pytest.param(
            rows(lambda t: (100 + 3 * t,), lambda t: (600 - 3 * t,)), [[(0, 39)], [(0, 39)]], id="apart: never cut"
        ),
        pytest.param(
            rows(lambda t: (100 + 30 * np.sin(t / 3), 40 + 10 * np.cos(t), 100),), [[(0, 39)]], id="dancing: never cut"
        ),
        pytest.param(
            rows(lambda t: (100.0,), lambda t: (170.0 if t < 10 or t >= 30 else 115.0,)),
            [[(0, 9), (10, 29), (30, 39)], [(0, 9), (10, 29), (30, 39)]],
            id="touch for a while",
        ),
        pytest.param(
            rows(lambda t: (100.0,), lambda t: (124.0 if t != 20 else 118.0,)),
            [[(0, 39)], [(0, 39)]],
            id="touch for one frame: flicker",
        ),
        pytest.param(
            rows(lambda t: (100.0,) if t < 20 or t > 30 else None), [[(0, 19), (31, 39)]], id="a long gap"
        ),
        pytest.param(
            rows(lambda t: (100.0,) if t < 20 or t > 22 else None), [[(0, 39)]], id="a short gap, alone"
        ),
        pytest.param(
            rows(lambda t: (100.0 if t < 20 else 160.0,)), [[(0, 19), (20, 39)]], id="jumps"
        ),
        pytest.param(
            rows(lambda t: (100.0, 40, 100) if t < 20 else (100.0, 90, 110)), [[(0, 19), (20, 39)]], id="doubles"
        ),
    ],
)  # fmt: skip
def test_cut(made, want):
    assert spans(made, cut(made, LIMITS)) == want


def test_cut_where_two_cross():
    made = rows(lambda t: (100 + 2 * t,), lambda t: (180 - 2 * t,))
    tracklet = cut(made, LIMITS)
    for pieces in spans(made, tracklet):
        # They stand in one another's place at frame 20: no tracklet lives through it from one sure side to the other.
        assert not any(first < 18 and last > 22 for first, last in pieces)
        assert pieces[0][0] == 0
        assert pieces[-1][1] == 39
    assert not np.isin(tracklet[made.frame < 5], tracklet[made.frame > 35]).any()


def test_cut_beside_one_who_is_lost_and_comes_back():
    made = rows(lambda t: (100.0,), lambda t: (125.0,) if not 10 <= t < 30 else None)
    limits = replace(LIMITS, contact_iou=0.9)
    assert spans(made, cut(made, limits)) == [[(0, 9), (10, 29), (30, 39)], [(0, 9), (30, 39)]]
    far = rows(lambda t: (100.0,), lambda t: (300.0,) if not 10 <= t < 30 else None)
    assert spans(far, cut(far, limits)) == [[(0, 39)], [(0, 9), (30, 39)]]


@pytest.mark.parametrize(
    ("after", "want"),
    [
        pytest.param(BLUE, 2, id="looks like another: two people"),
        pytest.param(RED, 1, id="looks the same"),
        pytest.param((RED + 0.6 * BLUE) / np.linalg.norm(RED + 0.6 * BLUE), 1, id="turned round"),
    ],
)
def test_cut_where_the_look_changes(after, want):
    looks = {(0, t): RED if t < 20 else after for t in range(0, 40, 5)}
    # The box is odd at 18: that is where the exchange was.
    made = rows(lambda t: (100.0 + (8 if t >= 18 else 0),), looks=looks)
    tracklet = cut(made, LIMITS)
    assert len(np.unique(tracklet)) == want
    if want == 2:
        assert spans(made, tracklet) == [[(0, 17), (18, 39)]]


def test_one_odd_look_does_not_cut():
    looks = {(0, t): BLUE if t == 20 else RED for t in range(0, 40, 5)}
    made = rows(lambda t: (100.0,), looks=looks)
    assert len(np.unique(cut(made, LIMITS))) == 1


def test_numbers_ascend_and_strangers_stay_out():
    made = rows(lambda t: (100.0,) if t >= 10 else None, lambda t: (400.0,), lambda t: (700.0,))
    made = replace(made, track=np.where(made.track == 2, -1, made.track))
    tracklet = cut(made, LIMITS)
    assert tracklet.dtype == np.int32
    assert np.unique(tracklet[made.track == 1]).tolist() == [0]
    assert np.unique(tracklet[made.track == 0]).tolist() == [1]
    assert (tracklet[made.track == -1] == -1).all()


def test_adopt_grows_tracks_backwards():
    made = rows(lambda t: (100.0 + t,), lambda t: (400.0,))
    late = np.where((made.track == 0) & (made.frame < 5), -1, made.track)
    np.testing.assert_array_equal(adopt(replace(made, track=late)), made.track)
    # A box elsewhere, or beside a gap of a frame, is not taken.
    gap = np.where((made.track == 0) & (made.frame < 5), -1, made.track)
    kept = (made.frame != 4) | (made.track != 0)
    gone = Rows(
        frame=made.frame[kept], box=made.box[kept], track=gap[kept], embedding=made.embedding[kept], fps=made.fps
    )
    assert (adopt(gone)[gone.frame < 4] == np.where(made.track[kept][gone.frame < 4] == 0, -1, 1)).all()


@pytest.mark.parametrize("name", TRACKERS)
def test_tracker_contract(name, capfd):
    def run() -> list[list[int]]:
        tracker = BoxMOTTracker(name, Fraction(15260, 1000), 0.3)
        frame = np.random.default_rng(1).integers(0, 255, (300, 500, 3)).astype(np.uint8)
        out = []
        for t in range(24):
            box = np.float32([[50 + 4 * t, 50, 100 + 4 * t, 200], [400 - 4 * t, 60, 450 - 4 * t, 210]])
            score, embedding = np.float32([0.9, 0.8]), np.zeros((2, 16), np.float32)
            if t % 4 == 0:
                embedding[[0, 1], [0, 1]] = 1
            here = slice(None) if t != 8 else slice(0, 0)
            if t % 2:
                box, score, embedding = box[::-1], score[::-1], embedding[::-1]
            ids = tracker.update(box[here], score[here], embedding[here], frame)
            assert ids.shape == (0 if t == 8 else 2,)
            out.append(ids[::-1].tolist() if t % 2 else ids.tolist())
        return out

    ids = run()
    seen = [tuple(pair) for t, pair in enumerate(ids) if t != 8 and -1 not in pair]
    assert len(seen) >= 20
    assert len(set(seen)) == 1
    assert seen[0][0] != seen[0][1]
    assert run() == ids
    assert capfd.readouterr().out == ""


def test_tracker_says_what_it_misses():
    tracker = BoxMOTTracker("botsort", Fraction(25), 0.3)
    box, score = np.float32([[0, 0, 10, 20]]), np.float32([0.9])
    with pytest.raises(ValueError, match="wants the frame"):
        tracker.update(box, score, np.ones((1, 4), np.float32), None)
    with pytest.raises(ValueError, match="wants vectors"):
        tracker.update(box, score, None, np.zeros((50, 50, 3), np.uint8))
    with pytest.raises(ValueError, match=r"want bytetrack, botsort or occluboost, got 'sort'"):
        BoxMOTTracker("sort", Fraction(25), 0.3)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder of test-made networks of the footage presets."""
    return tiny_weights.write(tmp_path_factory.mktemp("weights"), ("yolox-m", "reid-0248", "osnet-x1.0"))


@pytest.fixture(params=[("tiny", "reid-0248"), ("tiny", "osnet-x1.0"), ("real", "reid-0248")], ids="-".join)
def network(request):
    """Each appearance network, test-made, and real where the shared weights are."""
    kind, name = request.param
    folder = request.getfixturevalue("tiny") if kind == "tiny" else request.getfixturevalue("shared") / "weights"
    return embedder(name, Where(directory=str(folder), download=False))


def test_embedder_contract(network):
    frames = tiny_weights.people_video(20, (240, 320))[:2]
    boxes = np.float32([[50, 50, 92, 220], [228, 50, 270, 220]])
    crops = np.stack([person_crop(frame, box, None, (256, 128)) for frame in frames for box in boxes])
    vectors = network.embed(crops)
    assert vectors.shape == (4, network.width)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(network.embed(crops), vectors)
    np.testing.assert_allclose(network.embed(crops[2:3])[0], vectors[2], atol=1e-4)
    alike = vectors @ vectors.T
    assert min(alike[0, 2], alike[1, 3]) > max(alike[0, 1], alike[2, 3])
    assert network.embed(crops[:0]).shape == (0, network.width)
    with pytest.raises(ValueError, match="want crops"):
        network.embed(crops.astype(np.float32))


def test_another_networks_parameters_are_refused(tmp_path):
    import torch

    from tasks.backends.weights import TABLE

    path = tmp_path / TABLE["osnet-x1.0"].file
    where = Where(directory=str(tmp_path), download=False)
    torch.save({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"want OSNet x1\.0's parameters, got others, such as \['conv\.weight'"):
        embedder("osnet-x1.0", where)
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ValueError, match="want OSNet's parameters"):
        embedder("osnet-x1.0", where)


def test_unit_leaves_zeros():
    np.testing.assert_allclose(unit(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0, 0]])


def test_quick_mask_holds_the_person():
    frame = tiny_weights.people_video(1, (240, 320))[0]
    box = np.array([52.0, 52, 90, 216])
    mask = quick_mask(frame, box, np.zeros((0, 4)))
    np.testing.assert_array_equal(mask, quick_mask(frame, box, np.zeros((0, 4))))
    person = np.ptp(frame.astype(int), axis=2) > 40
    y = (52 + (np.arange(96) + 0.5) * (216 - 52) / 96).astype(int)
    x = (52 + (np.arange(48) + 0.5) * (90 - 52) / 48).astype(int)
    truth = person[np.ix_(y, x)]
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8
    # Where another's box lies is not this person, save for the core.
    covered = quick_mask(frame, box, np.array([[52.0, 150, 90, 216]]))
    assert covered[70:].sum() == 0
    assert covered[20:40].any()


@pytest.mark.parametrize("config", [
    pytest.param(track.Config(), id="light"),
    pytest.param(track.Config(tracker="botsort", reid="osnet-x1.0"), id="pairfs-4k"),
])  # fmt: skip
def test_stage_on_two_who_walk(tiny, tmp_path, config):
    item = clip_item(tiny_weights.people_video(30, (240, 320)), tmp_path / "shots")
    env = env_at(tmp_path, tiny)
    found = detect.STAGE.run(Batch(items=(item,)), detect.Config(detector="yolox-m"), env)
    done = track.STAGE.run(found, config, env)
    assert not done.rejects
    path = done.items[0].folder("track") / "tracklets.npz"
    made = load_record(Tracklets, path)
    assert np.unique(made.tracklet).tolist() == [0, 1]
    left = made.box[:, 0] < 140
    assert len(np.unique(made.tracklet[left])) == 1
    looked = made.embedding.any(1)
    assert set(made.frame[looked].tolist()) == {0, 8, 16, 24}
    other = env_at(tmp_path / "again", tiny)
    again = track.STAGE.run(
        detect.STAGE.run(Batch(items=(item,)), detect.Config(detector="yolox-m"), other), config, other
    )
    assert (again.items[0].folder("track") / "tracklets.npz").read_bytes() == path.read_bytes()


WHOLE = (100.0, 50.0, 160.0, 250.0)


@pytest.mark.parametrize(
    ("other", "surer", "want"),
    [
        pytest.param((101, 52, 158, 150), 0.0, True, id="the upper body"),
        pytest.param((101, 52, 158, 150), 0.15, True, id="a little surer than the whole"),
        pytest.param((101, 52, 158, 150), 0.4, False, id="much surer: the whole may be a mirror image with it"),
        pytest.param((101, 52, 158, 240), 0.0, False, id="nearly as tall"),
        pytest.param((112, 52, 158, 150), 0.0, False, id="another left edge: somebody behind"),
        pytest.param((101, 90, 158, 150), 0.0, False, id="another upper edge: a child before"),
        pytest.param((101, 150, 158, 250), 0.0, False, id="the legs: somebody who sits in front, maybe"),
    ],
)
def test_halves(other, surer, want):
    box, score = np.array([WHOLE, other, (300.0, 50, 360, 250)]), np.array([0.5, 0.5 + surer, 0.5])
    assert halves(box, score).tolist() == [False, want, False]
    assert halves(box[::-1], score[::-1]).tolist() == [False, want, False]
    assert not halves(np.zeros((0, 4)), np.zeros(0)).any()


def test_what_is_no_tracklets_covers_nobody():
    made = Tracklets(
        frame=np.repeat(np.arange(5, dtype=np.int32), 2),
        box=np.tile(np.array([WHOLE, (101, 52, 158, 150)], np.float32), (5, 1)),
        score=np.full(10, 0.9, np.float32),
        tracklet=np.tile(np.array([0, -1], np.int32), 5),
        embedding=np.zeros((10, 1), np.float32),
    )
    none = Segments(
        frame=np.zeros(0, np.int32), tracklet=np.zeros(0, np.int32), mask=Masks.from_counts([], size=(300, 400)),
        score=np.zeros(0, np.float32), embedding=np.zeros((0, 1), np.float32),
    )  # fmt: skip
    still = np.tile(np.eye(2, 3), (5, 1, 1))
    (track_alone,) = tracks_of(made, none, still, clinch=0.3)
    assert (track_alone.apart == 1).all()
    assert len(tracks_of(replace(made, tracklet=made.tracklet + 1), none, still, clinch=0.3)) > 1


def test_halves_are_nobodys_and_part_nothing(tiny, tmp_path):
    """Every other frame has both people's upper bodies, too: tracklets are as without them."""
    item = clip_item(tiny_weights.people_video(30, (240, 320)), tmp_path / "shots")
    env = env_at(tmp_path, tiny)
    item = detect.STAGE.run(Batch(items=(item,)), detect.Config(detector="yolox-m"), env).items[0]
    path = item.folder("detect") / "detections.npz"
    found = load_record(Detections, path)
    clean = track.STAGE.run(Batch(items=(item,)), track.Config(), env).items[0].folder("track")
    odd = found.frame % 2 == 1
    upper = found.box[odd].copy()
    upper[:, 3] = (upper[:, 1] + upper[:, 3]) / 2
    frame = np.concatenate([found.frame, found.frame[odd]])
    order = np.argsort(frame, kind="stable")
    box, score = np.concatenate([found.box, upper]), np.concatenate([found.score, found.score[odd]])
    save_record(Detections(frame=frame[order], box=box[order], score=score[order]), path)
    again = env_at(tmp_path / "again", tiny)
    done = track.STAGE.run(Batch(items=(item,)), track.Config(), again).items[0].folder("track")
    before, after = (load_record(Tracklets, folder / "tracklets.npz") for folder in (clean, done))
    whole = after.tracklet >= 0
    assert (~whole).sum() == odd.sum()
    for name in ("frame", "box", "tracklet", "embedding"):
        assert (getattr(after, name)[whole] == getattr(before, name)).all(), name
    assert not after.embedding[~whole].any()
