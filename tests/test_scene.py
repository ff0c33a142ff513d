"""Scene text <-> Scene."""

from __future__ import annotations

import json

import pytest

from tasks.ops.scene import (
    CameraSpec,
    PerformerSpec,
    Scene,
    one_camera_each,
    parse_scene,
    scene_from_json,
    scene_to_json,
)

TEXT = """
name: crossing
seed: 3
duration_s: 5
performers:
  - motion: walk.npz
    position: [-1, 0.5]
    heading_deg: 90
    shape_seed: 4
    clothes_seed: 2
  - motion: sub/duo.pkl
    person: 1
    look: robot
    start_s: 0.5
cameras:
  - kind: orbit
    seed: 1
    fov_deg: 35
  - kind: pan
"""


def test_yaml_and_json_give_the_same_scene_with_defaults_filled_in():
    scene = parse_scene(TEXT)
    assert scene == Scene(
        name="crossing", seed=3, duration_s=5.0,
        performers=(
            PerformerSpec(motion="walk.npz", position=(-1.0, 0.5), heading_deg=90.0, shape_seed=4, clothes_seed=2),
            PerformerSpec(motion="sub/duo.pkl", person=1, look="robot", start_s=0.5),
        ),
        cameras=(CameraSpec(kind="orbit", seed=1, fov_deg=35.0), CameraSpec(kind="pan")),
    )  # fmt: skip
    assert scene_from_json(scene_to_json(scene)) == scene
    assert parse_scene(json.dumps(json.loads(scene_to_json(scene)), indent=4)) == scene


def test_canonical_json_does_not_depend_on_how_the_text_was_written():
    other = TEXT.replace("90", "90.0").replace("name: crossing\n", "") + "name: crossing\n"
    assert scene_to_json(parse_scene(other)) == scene_to_json(parse_scene(TEXT))


def test_a_scene_takes_the_name_of_its_file_and_one_static_camera():
    scene = parse_scene("performers: [{motion: a.npz}]", name="duet")
    assert scene.name == "duet"
    assert scene.cameras == (CameraSpec(kind="static"),)


def test_one_clip_a_camera():
    singles = one_camera_each(parse_scene(TEXT))
    assert [s.cameras[0].kind for s in singles] == ["orbit", "pan"]
    assert all(len(s.cameras) == 1 and s.performers == singles[0].performers for s in singles)


WRONG = [
    ("", "want a mapping of fields, got None"),
    ("[1]", "want a mapping of fields, got [1]"),
    ("name: x", "want the field 'performers', got name"),
    ("{", "want YAML or JSON, got while parsing"),
    ("name: x\nname: y", "the key 'name' stands twice"),
    ("name: x\nperformers: []", "performers: want 1 to 32, got 0"),
    ("name: x\nperformers: {}", "performers: want a list, got {}"),
    ("name: x\nperformers: [a.npz]", "performers[0]: want a mapping of fields, got 'a.npz'"),
    ("name: x\nperformers: [{}]", "performers[0]: want the field 'motion', got none"),
    ("name: x\nperformers: [{motion: 3}]", "performers[0].motion: want text, got 3"),
    ("name: x\nperformers: [{motion: a, dress: red}]", "performers[0]: 'dress' is not a field; known: motion, person"),
    ("name: x\nperformers: [{motion: a, look: gold}]", "performers[0].look: want one of dressed, plain, robot"),
    ("name: x\nperformers: [{motion: a, person: 0.5}]", "performers[0].person: want a whole number, got 0.5"),
    ("name: x\nperformers: [{motion: a, person: -1}]", "performers[0].person: want 0 to 1000, got -1"),
    ("name: x\nperformers: [{motion: a, person: true}]", "performers[0].person: want a whole number, got True"),
    ("name: x\nperformers: [{motion: a, position: [1]}]", "performers[0].position: want a list of 2 numbers, got [1]"),
    ("name: x\nperformers: [{motion: a, position: [0, .nan]}]", "performers[0].position[1]: want a number, got nan"),
    ("name: x\nperformers: [{motion: a}]\ncameras: [{kind: drone}]", "cameras[0].kind: want one of static, pan, orbit"),
    ("name: x\nperformers: [{motion: a}]\ncameras: [{fov_deg: 170}]", "cameras[0].fov_deg: want 5 to 120, got 170"),
    ("name: x\nperformers: [{motion: a}]\ncameras: []", "cameras: want at least one, got none"),
    ("name: x\nperformers: [{motion: a}]\nduration_s: 0", "duration_s: want 0.001 to 3600, got 0"),
    ("name: ' '\nperformers: [{motion: a}]", "name: want a name, got ' '"),
    ("name: x\nperformers: [{motion: ../a}]", "performers[0].motion: want a path inside the scene file's folder"),
    ("name: x\nperformers: [{motion: b/../../a}]", "want a path inside the scene file's folder"),
    ("name: x\nperformers: [{motion: /etc/passwd}]", "want a path inside the scene file's folder, got '/etc/passwd'"),
    ("name: x\nperformers: [{motion: ''}]", "want a path inside the scene file's folder, got ''"),
    ("name: !!python/object/apply:os.system [ls]\nperformers: [{motion: a}]", "want YAML or JSON, got could not"),
    ("name: x\nperformers: [{motion: a}]\n#" + "x" * (1 << 20), "want at most 1048576 bytes of scene"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[m[:40] for _, m in WRONG])
def test_a_wrong_scene_says_where_and_what_was_wanted(text, message):
    with pytest.raises(ValueError) as error:
        parse_scene(text, "duet.yaml")
    assert message in str(error.value)
    assert str(error.value).startswith("duet.yaml: ")


def test_an_aim_is_kept_and_none_leaves_the_text_as_it_was():
    scene = parse_scene(TEXT + "    aim: [0.5, 1, -2]\n")
    assert scene.cameras[1].aim == (0.5, 1.0, -2.0)
    assert scene_from_json(scene_to_json(scene)) == scene
    # The text is part of content keys: of scenes without an aim it must stay what it was before there were any.
    assert "aim" not in scene_to_json(parse_scene(TEXT))


def test_an_aim_has_three_numbers():
    with pytest.raises(ValueError, match=r"cameras\[1\]\.aim: want a list of 3 numbers"):
        parse_scene(TEXT + "    aim: [0.5, 1]\n")
