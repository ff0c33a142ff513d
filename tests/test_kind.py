"""Human or robot: the evidence on drawn looks, on real footage and on rendered robots."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from datasets.records import Cast, People, load_record
from datasets.store import Store
from datasets.video import read_window
from tasks.backends.table import Where, detector, face_finder
from tasks.batch import Batch, Env, Item
from tasks.ops.boxes import contact
from tasks.ops.kind import kind_evidence, skin_colour
from tasks.ops.quick_mask import quick_mask
from tasks.ops.scene import CameraSpec, PerformerSpec, Scene, scene_to_json
from tests import tiny_weights

SKIN, SHIRT, WHITE, BLACK = (215, 165, 140), (40, 90, 190), (235, 235, 238), (25, 25, 27)
NO_FACE = (np.zeros((0, 4)), np.zeros(0))
FACE = (np.array([[18.0, 4, 32, 20]]), np.array([0.9]))
SURE = (FACE[0], np.array([0.98]))


def look(head: tuple, body: tuple, faces=NO_FACE, back: tuple = (120, 125, 118)):
    """A crop (100, 50) of someone with this head and body, its mask, and faces."""
    crop = np.full((100, 50, 3), back, np.uint8)
    mask = np.zeros((100, 50), np.uint8)
    for (x, y), axes, colour in (((25, 60), (14, 40), body), ((25, 12), (8, 12), head)):
        cv2.ellipse(crop, (x, y), axes, 0, 0, 360, colour, -1)
        cv2.ellipse(mask, (x, y), axes, 0, 0, 360, 1, -1)
    return crop, mask.astype(bool), faces


def judge(looks):
    return kind_evidence(*zip(*looks, strict=True))


@pytest.mark.parametrize(
    ("looks", "kind", "least", "says"),
    [
        pytest.param([look(SKIN, SHIRT, FACE)] * 8, "human", 0.99, "a face in 100% of 8 looks", id="a face of skin"),
        pytest.param([look(SKIN, SHIRT)] * 8, "human", 0.8, "a face in 0% of 8 looks", id="skin, no face found"),
        pytest.param(
            [look(BLACK, WHITE, FACE)] * 8, "robot", 0.95, "a face without skin in 100%", id="a visor like a face"
        ),
        pytest.param(
            [look(WHITE, SHIRT, SURE)] * 8, "human", 0.8, "one beyond doubt in 100%", id="a face, not of skin"
        ),
        pytest.param([look(WHITE, WHITE)] * 8, "robot", 0.9, "100% without colour", id="white all over"),
        pytest.param([look(WHITE, SHIRT)] * 8, "robot", 0.6, "skin on 0% of the head", id="coloured plates, no skin"),
        pytest.param(
            [look(SKIN, WHITE, FACE)] * 3 + [look(BLACK, WHITE)] * 5,
            "human",
            0.9,
            "in 38%",
            id="in white, turning away",
        ),
        pytest.param(
            [look(BLACK, WHITE, (np.array([[4.0, 50, 14, 66]]), np.array([0.9])))] * 8,
            "robot",
            0.9,
            "a face in 0% of 8 looks, skin on 0%",
            id="another's face in the crop",
        ),
    ],
)
def test_kind_evidence(looks, kind, least, says):
    got, confidence, reason = judge(looks)
    assert got == kind
    assert least <= confidence <= 1
    assert says in reason


def test_few_looks_prove_little_and_none_nothing():
    one, many = (judge([look(WHITE, WHITE)] * n)[1] for n in (1, 8))
    assert 0.5 < one < many - 0.1
    assert kind_evidence([], [], []) == ("human", 0.5, "never seen well enough")
    crop, mask, faces = look(WHITE, WHITE)
    assert judge([(crop, np.zeros_like(mask), faces)] * 8)[1] == 0.5
    with pytest.raises(ValueError, match="want as many masks and faces as crops, got 1, 0, 1"):
        kind_evidence([crop], [], [faces])
    with pytest.raises(ValueError, match=r"want a mask of \(100, 50\), got \(99, 50\)"):
        kind_evidence([crop], [mask[1:]], [faces])


@pytest.mark.parametrize(
    ("colour", "want"),
    [
        pytest.param((245, 215, 190), True, id="light"),
        pytest.param((198, 134, 66), True, id="brown"),
        pytest.param((110, 70, 50), True, id="dark"),
        pytest.param(WHITE, False, id="white"),
        pytest.param(BLACK, False, id="black"),
        pytest.param((40, 90, 190), False, id="blue"),
        pytest.param((240, 200, 20), False, id="yellow"),
        pytest.param((60, 160, 70), False, id="green"),
    ],
)
def test_skin_colour(colour, want):
    assert skin_colour(np.full((2, 2, 3), colour, np.uint8)).all() == want


def test_faces_of_coco(shared):
    finder = face_finder(Where(directory=str(shared / "weights"), download=False))
    picture = cv2.imread(str(shared / "reference" / "coco" / "000000000785.jpg"))[..., ::-1]
    box, score = finder.faces(picture)
    assert len(box) == 1
    assert score[0] > 0.8
    # The skier's face, (356, 64) to (387, 104).
    np.testing.assert_allclose(box[0], [356, 64, 387, 104], atol=6)
    crop = picture[30:400, 280:500]
    top, _ = finder.faces_at_top(crop)
    np.testing.assert_allclose(top[0] + [280, 30, 280, 30], [356, 64, 387, 104], atol=8)
    nobody, none = finder.faces(np.full((50, 80, 3), 90, np.uint8))
    assert nobody.shape == (0, 4)
    assert none.shape == (0,)


def test_faces_wants_its_own_export(tmp_path):
    tiny_weights.write(tmp_path, ["yunet", "rtmdet-nano"])
    finder = face_finder(Where(directory=str(tmp_path), download=False))
    assert len(finder.faces(np.zeros((60, 60, 3), np.uint8))[0]) == 0


def test_footage_of_a_woman_and_a_robot(shared):
    where = Where(directory=str(shared / "weights"), download=False)
    network, finder = detector("rtmdet-nano", where), face_finder(where)
    video = cv2.VideoCapture(str(shared / "footage" / "humanrob_01.mp4"))
    looks = {"left": [], "right": []}
    for t in range(300):
        good, frame = video.read()
        assert good
        if t % 30:
            continue
        frame = np.ascontiguousarray(frame[..., ::-1])
        boxes, _ = network.detect(frame, score_threshold=0.5, nms=0.65)
        assert len(boxes) == 2
        assert contact(boxes).max() < 0.3
        boxes = boxes[boxes[:, 0].argsort()]
        for side, box, other in (("left", boxes[0], boxes[1:]), ("right", boxes[1], boxes[:1])):
            x0, y0, x1, y1 = box.astype(int)
            crop = frame[y0:y1, x0:x1]
            mask = cv2.resize(quick_mask(frame, box, other).astype(np.uint8), crop.shape[1::-1]) > 0
            looks[side].append((crop, mask, finder.faces_at_top(crop)))
    # The woman stays on the left, the robot on the right.
    left, right = judge(looks["left"]), judge(looks["right"])
    assert left[0] == "human"
    assert left[1] > 0.95
    assert right[0] == "robot"
    assert right[1] > 0.8


# Drawn once and written down: what a seed draws follows from the motions' bytes, and those from the processor.
SCENES = {
    "tanned": Scene(
        performers=(
            PerformerSpec(motion="robot_a.npz", clothes_seed=28367181, shape_seed=1439552396, position=(0.695, 0.532),
                          heading_deg=322.4),
            PerformerSpec(motion="robot_b.npz", clothes_seed=595104835, shape_seed=767711657, position=(-0.695, -0.532),
                          heading_deg=354.2, look="robot"),
        ),
        cameras=(CameraSpec(kind="orbit", azimuth_deg=297.6, fov_deg=35.5, seed=1074112381),),
        name="tanned", duration_s=1.972, seed=199940271,
    ),
    # The palest of the skins in a cool light: of the colours of skin there is next to nothing in the face.
    "pale": Scene(
        performers=(
            PerformerSpec(motion="robot_a.npz", clothes_seed=224976478, shape_seed=1901864982, position=(0.803, -0.405),
                          heading_deg=4.2),
            PerformerSpec(motion="robot_b.npz", clothes_seed=1078446671, shape_seed=1662245855,
                          position=(-0.803, 0.405), heading_deg=47.5, look="robot"),
        ),
        cameras=(CameraSpec(kind="static", azimuth_deg=10.7, fov_deg=33.4, seed=1049870075),),
        name="pale", duration_s=1.972, seed=80511243,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def duet(request, tmp_path_factory) -> Item:
    """A rendered duet of a human and a robot, two seconds long."""
    from tasks import motion, render

    folder = tmp_path_factory.mktemp("duet")
    env = Env(store=Store(str(folder / "store")))
    motion.write_demo_motions(folder)
    files = sorted(folder.glob("robot_*.npz"))[:2]
    items = tuple(motion.source_item(path, path.name, env.store) for path in files)
    config = motion.Config(looks="human_robot", cameras=1, max_s=2.0, min_s=1.0)
    scenes = motion.compose(motion.STAGE.run(Batch(items=items), config, env), config)
    drawn = replace(scenes.items[0], key=request.param, part=scene_to_json(SCENES[request.param]))
    shot = replace(scenes, items=(drawn,))
    done = render.STAGE.run(shot, render.Config(width=384, height=384, fps=6, depth=False), env)
    assert not done.rejects
    return done.items[0]


# Somebody so pale is told by a face alone, and the test-made network finds none.
@pytest.mark.parametrize(
    ("duet", "faces"), [("tanned", "tiny"), ("tanned", "real"), ("pale", "real")], indirect=["duet"], scope="module"
)
def test_rendered_robots_are_told_from_humans(faces, duet, tmp_path, request):
    weights = tmp_path if faces == "tiny" else request.getfixturevalue("shared") / "weights"
    if faces == "tiny":
        tiny_weights.write(weights, ["yunet"])
    finder = face_finder(Where(directory=str(weights), download=False))
    people = load_record(People, duet.folder("render") / "people.npz")
    cast = load_record(Cast, duet.folder("render") / "cast.npz")
    frames = read_window(duet.folder("render") / "clip.mp4", range(people.num_frames))
    assert sorted(cast.kind) == ["human", "robot"]
    for person, truth in enumerate(cast.kind):
        looks = []
        for t, frame in enumerate(frames):
            x0, y0, x1, y1 = np.round(people.box[person, t]).astype(int).clip(0)
            if people.visible[person, t] > 0.3 and x1 > x0 and y1 > y0:
                crop = frame[y0:y1, x0:x1]
                looks.append((crop, people.mask_at(person, t)[y0:y1, x0:x1], finder.faces_at_top(crop)))
        assert len(looks) >= 6
        kind, confidence, reason = judge(looks)
        assert kind == truth, reason
        assert confidence > 0.6, reason
