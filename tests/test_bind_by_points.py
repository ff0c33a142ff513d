"""Points on bodies -> who is bound to whom, on drawn films and through the stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.records import Artifact, CameraMotion, People, load_record, save_record
from tasks import bind as stage
from tasks.ops.bind import Rules, Watch, bind
from tasks.ops.cast import Shot, Watched
from tasks.ops.point_tracks import follow_points
from tests.clip_items import clip_item, env_at
from tests.draw_tracks import FPS, SIZE, Figure, Scene, draw, modal, walk
from tests.test_bind import whose
from tests.test_point_tracks import noise

T = 60
STILL = CameraMotion(step=np.tile(np.eye(2, 3, dtype=np.float32), (T, 1, 1)))


def textured(figures: Sequence[Figure]) -> list[np.ndarray]:
    """Pictures (h, w, 3) uint8 of figures in clothes of noise, before a wall of noise."""
    out = []
    for t in range(T):
        out.append(noise(SIZE, 99, 1.5).copy())
        for i, figure in enumerate(figures):
            seen = modal(figures, i, t)
            out[t][seen] = np.roll(noise(SIZE, i, 1.5), round(figure.x[t]), axis=1)[seen]
    return out


def following(figures: Sequence[Figure], scene: Scene) -> Watch:
    """Points on the drawn pictures, all along."""
    return lambda tracks, crops: Watched(
        points=follow_points(textured(figures), crops, scene.segments.frame, np.ones(T, bool))
    )


def bound(scene: Scene, watch: Watch | None) -> People:
    """The people of a scene; tracks are not cut for touching."""
    shot = Shot(frames=T, fps=FPS, size=SIZE)
    return bind(scene.tracklets, scene.poses, scene.segments, STILL, shot, Rules(clinch=2.0), watch)[0]


def pair(x: np.ndarray, pieces: Sequence[Sequence[tuple[int, int]]]) -> list[Figure]:
    """Two who do the same from both sides; the first, from the left, is nearer. Their clothes look alike."""
    return [Figure(x=one.tolist(), foot=112 - 3 * i, pieces=pieces[i]) for i, one in enumerate((x, 200 - x))]


LOST = [(0, 26), (34, T)]
TURN = pair(100 - 2.5 * np.abs(np.arange(T) - 29.5), [LOST, LOST])
PLACES = pair(np.r_[walk(60, 88, 16), [88] * 10, walk(91, 109, 8), [112] * 10, walk(112, 140, 16)], [LOST, LOST])
SLIDE = pair(walk(50, 150, T), [[(0, 33), (33, T)], [(0, 24), (33, T)]])
APART = pair(walk(50, 70, T), [[(0, T)], [(0, T)]])


@pytest.mark.parametrize(
    ("figures", "slides"),
    [
        pytest.param(TURN, False, id="they turn back, though all moves as if they passed"),
        pytest.param(PLACES, False, id="they change places while nobody is found"),
        # The nearer one's goes on as the other's, who was hidden; the nearer one is found again as somebody new.
        pytest.param(SLIDE, True, id="a tracklet slides to the one behind"),
    ],
)
def test_points_decide_who_is_who(figures: list[Figure], slides: bool) -> None:
    scene = draw(figures)
    if slides:
        near, far = (np.unique(scene.tracklets.tracklet[scene.owner == i]) for i in (0, 1))
        name = np.where(scene.tracklets.tracklet == far[1], near[0], scene.tracklets.tracklet)
        tracklets, segments = replace(scene.tracklets, tracklet=name), replace(scene.segments, tracklet=name)
        scene = replace(scene, tracklets=tracklets, segments=segments)
    by_boxes, by_points = bound(scene, None), bound(scene, following(figures, scene))
    assert whose(by_boxes, figures, scene) == [{0, 1}, {0, 1}], "boxes alone were right: this shows nothing"
    assert whose(by_points, figures, scene) == [{0}, {1}]


def stage_on(folder: Path, figures: list[Figure], config: stage.Config, brought: bool, broken: bool) -> list[set[int]]:
    """Whose boxes the stage's people have, on these figures' video; broken: it cannot be decoded."""
    scene = draw(figures)
    item = clip_item(textured(figures), folder / "shots")
    if broken:
        (folder / "shots" / "00000000.mp4").write_bytes(b"no video")
    records = {"tracklets": scene.tracklets, "poses": scene.poses, "segments": scene.segments, "camera": STILL}
    for name, record in records.items():
        save_record(record, folder / f"{name}.npz")
    names = ("track", "pose", "segment", *(stage.TRACKS if brought else ()))
    artifacts = dict.fromkeys(names, Artifact(key="made", path=str(folder)))
    item = replace(item, artifacts={**item.artifacts, **artifacts})
    stage.compute(item, config, env_at(folder, folder), folder)
    return whose(load_record(People, folder / "people.npz"), figures, scene)


@pytest.mark.parametrize(
    ("figures", "points", "brought", "reads", "owners"),
    [
        pytest.param(TURN, True, False, True, [{0}, {1}], id="points tell"),
        pytest.param(TURN, False, False, False, [{0, 1}, {0, 1}], id="no points are wanted"),
        pytest.param(TURN, True, True, False, [{0, 1}, {0, 1}], id="ids were brought"),
        pytest.param(APART, True, False, False, [{0}, {1}], id="nobody comes or goes"),
    ],
)
def test_the_stage_looks_at_the_video_where_points_tell(
    figures: list[Figure], points: bool, brought: bool, reads: bool, owners: list[set[int]], tmp_path: Path
) -> None:
    config = stage.Config(points=points, colours=False)
    assert stage_on(tmp_path, figures, config, brought, broken=not reads) == owners
    if reads:
        with pytest.raises(ValueError, match=r"00000000\.mp4"):
            stage_on(tmp_path, figures, config, brought, broken=True)
