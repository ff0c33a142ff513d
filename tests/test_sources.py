"""SOURCE arguments: what is taken, in which order, under which name."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from flows.errors import UsageError
from flows.sources import find_sources

SCENE = "performers:\n  - motion: a.npz\n"


def lay_out(root: Path, *names: str) -> Path:
    """Files of these names under a folder; a scene where the name says so."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SCENE if "scene" in name else name)
    return root


def names(*given: object, **options) -> list[str]:
    return [source.name for source in find_sources([str(one) for one in given], **options)]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param(["b.mp4", "a.mov", "c/a.MKV"], ["a.mov", "b.mp4", "c/a.MKV"], id="by name, folders too, any case"),
        pytest.param(["a.mp4", "notes.md", "x.srt", "noend"], ["a.mp4"], id="other files are left alone"),
        pytest.param(["a.mp4", ".hidden.mp4", ".git/b.mp4"], ["a.mp4"], id="hidden files and folders"),
        pytest.param(["a10.mp4", "a2.mp4", "B.mp4"], ["B.mp4", "a10.mp4", "a2.mp4"], id="byte order, not the locale's"),
        pytest.param(["ü.mp4", "a b.mp4", "a,b.mp4"], ["a b.mp4", "a,b.mp4", "ü.mp4"], id="blanks, commas, umlauts"),
        pytest.param(["a.npz", "b.pkl", "c.npy"], ["a.npz", "b.pkl", "c.npy"], id="motion files"),
        pytest.param(
            ["scene.yaml", "info.yaml", "scene.json", "meta.json"],
            ["scene.json", "scene.yaml"],
            id="scenes among other texts",
        ),
        pytest.param(["d/e/f/g.mp4"], ["d/e/f/g.mp4"], id="deep"),
    ],
)
def test_a_folder_is_searched(tmp_path, files, found):
    assert names(lay_out(tmp_path, *files)) == found


def test_a_file_is_named_under_its_folder(tmp_path):
    lay_out(tmp_path, "footage/a.mp4")
    assert names(tmp_path / "footage" / "a.mp4") == ["a.mp4"]


def test_the_order_is_that_of_the_arguments_and_each_file_counts_once(tmp_path):
    lay_out(tmp_path, "x/b.mp4", "x/a.mp4", "y/c.mp4")
    assert names(tmp_path / "y", tmp_path / "x" / "b.mp4", tmp_path / "x") == ["c.mp4", "b.mp4", "a.mp4"]


def test_a_folder_given_again_adds_nothing(tmp_path):
    lay_out(tmp_path, "a.mp4")
    assert names(tmp_path / "a.mp4", tmp_path) == ["a.mp4"]


def test_equal_names_of_two_folders_are_told_apart(tmp_path):
    lay_out(tmp_path, "x/one.mp4", "y/one.mp4", "y/two.mp4")
    assert names(tmp_path / "x", tmp_path / "y") == ["x/one.mp4", "y/one.mp4", "two.mp4"]


def test_equal_names_of_equally_named_folders_are_told_apart(tmp_path):
    lay_out(tmp_path, "p/day/one.mp4", "q/day/one.mp4")
    assert names(tmp_path / "p/day", tmp_path / "q/day") == ["p/day/one.mp4", "q/day/one.mp4"]


def test_a_loop_of_links_ends(tmp_path):
    lay_out(tmp_path, "a/b/one.mp4")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "self").symlink_to("self")
    assert names(tmp_path / "a") == ["b/one.mp4"]


def test_a_linked_file_is_found_and_a_dead_link_is_not_lost(tmp_path):
    lay_out(tmp_path, "real/one.mp4", "in/x.mp4")
    (tmp_path / "in" / "link.mp4").symlink_to(tmp_path / "real" / "one.mp4")
    (tmp_path / "in" / "dead.mp4").symlink_to("nowhere.mp4")
    assert names(tmp_path / "in") == ["dead.mp4", "link.mp4", "x.mp4"]


def test_a_pipe_is_no_source(tmp_path):
    lay_out(tmp_path, "a.mp4")
    os.mkfifo(tmp_path / "b.mp4")
    assert names(tmp_path) == ["a.mp4"]


def test_what_the_run_writes_is_left_out(tmp_path):
    lay_out(tmp_path, "a.mp4", "out/report/x.mp4", "store/shots/1.mp4")
    assert names(tmp_path, leave_out=[tmp_path / "out", tmp_path / "store"]) == ["a.mp4"]


def test_a_name_of_odd_bytes_fits_into_the_tables(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).write_text("x")
    (name,) = names(tmp_path)
    assert name.encode("utf-8").decode() == "caf\ufffd.mp4"


def test_a_list_names_sources_relative_to_itself(tmp_path):
    lay_out(tmp_path, "x/b.mp4", "x/a.mp4", "y/c.mp4", "other/d.mp4")
    (tmp_path / "list.txt").write_text(f"# a comment\n\ny/c.mp4\r\n  x\n{tmp_path / 'other' / 'd.mp4'}\n", newline="")
    assert names(tmp_path / "list.txt") == ["y/c.mp4", "x/a.mp4", "x/b.mp4", "other/d.mp4"]


def motion(root: Path, *names: str, **arrays: tuple[int, ...]) -> Path:
    """npz files with arrays of these shapes."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(root / name, **{key: np.zeros(shape) for key, shape in arrays.items()})
    return root


def test_array_files_that_are_no_motion_are_left_alone(tmp_path):
    motion(tmp_path, "dance.npz", poses=(4, 156), trans=(4, 3), betas=(16,), mocap_framerate=())
    motion(tmp_path, "embeddings.npz", vectors=(4, 156))
    assert names(tmp_path) == ["dance.npz"]


def test_a_folder_of_one_file_a_person_is_one_motion(tmp_path):
    shapes = {"root_orient": (4, 3), "pose_body": (4, 21, 3), "trans": (4, 3), "betas": (1, 10)}
    hands = {"pose_lhand": (4, 15, 3), "pose_rhand": (4, 15, 3)}
    motion(tmp_path / "interx", "G001/P1.npz", "G001/P2.npz", "G002/P1.npz", "G002/P2.npz", **shapes, **hands)
    assert names(tmp_path / "interx") == ["G001", "G002"]
    assert names(tmp_path / "interx" / "G002") == ["G002"]


def test_kinds_narrow_a_folder(tmp_path):
    lay_out(tmp_path, "a.mp4", "b.npz", "scene.yaml")
    assert names(tmp_path, kinds=["video"]) == ["a.mp4"]
    assert names(tmp_path, kinds=["motion", "scene"]) == ["b.npz", "scene.yaml"]


@pytest.mark.parametrize(
    ("files", "given", "kinds", "said"),
    [
        pytest.param([], "nowhere.mp4", None, ["nowhere.mp4", "no such file"], id="missing"),
        pytest.param(
            ["d/a.md"],
            "d",
            None,
            ["video files or motion files or scene files", "got none"],
            id="nothing in the folder",
        ),
        pytest.param(
            ["d/a.npz"], "d", ["video"], ["want video files in the folder", "got none"], id="other kinds in the folder"
        ),
        pytest.param(
            ["a.npz"], "a.npz", ["video"], ["want video files", "got a motion file"], id="a file of another kind"
        ),
        pytest.param(["a.doc"], "a.doc", None, ["'.doc'", ".mp4"], id="no kind of ours"),
        pytest.param(["noend"], "noend", None, ["'nothing'"], id="no ending"),
    ],
)
def test_what_cannot_be_a_source_is_said(tmp_path, files, given, kinds, said):
    lay_out(tmp_path, *files)
    with pytest.raises(UsageError) as error:
        names(tmp_path / given, kinds=kinds)
    for words in said:
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(b"", "got an empty list", id="empty"),
        pytest.param(b"# only a comment\n", "got an empty list", id="comments only"),
        pytest.param(b"a.mp4\nb.mp4\n", "line 2", id="a missing file, by its line"),
        pytest.param(b"a.mp4\nother.txt\n", "got another list", id="a list in a list"),
        pytest.param(b"caf\xe9.mp4\n", "UTF-8", id="not UTF-8"),
    ],
)
def test_a_bad_list_is_said_with_its_line(tmp_path, text, said):
    lay_out(tmp_path, "a.mp4")
    (tmp_path / "list.txt").write_bytes(text)
    with pytest.raises(UsageError, match=said):
        names(tmp_path / "list.txt")


def test_the_motions_of_a_scene_are_no_duets_of_their_own(tmp_path):
    lay_out(tmp_path, "a.npz", "b.npz", "scene.yaml")
    assert names(tmp_path) == ["b.npz", "scene.yaml"]
    assert names(tmp_path, tmp_path / "a.npz") == ["b.npz", "scene.yaml", "a.npz"], "named by itself it is taken"
    (tmp_path / "scene.yaml").write_text("performers: [{motion: 3}]")
    assert names(tmp_path) == ["a.npz", "b.npz", "scene.yaml"], "a scene that is off takes nothing away"


def test_a_scene_on_one_line_is_found_wherever_its_performers_stand(tmp_path):
    (tmp_path / "one.json").write_text('{"cameras":[{"kind":"static"}],"performers":[{"motion":"a.npz"}]}')
    assert names(tmp_path) == ["one.json"]
