"""Reading what cameras write, writing what shards hold, reading it back."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from datasets.records import Source
from datasets.video import (
    VideoError,
    VideoWriter,
    clip_facts,
    probe_video,
    read_depth,
    read_frames,
    read_pictures,
    read_source,
    read_window,
    write_depth,
)
from tasks.ops.timeline import constant_rate
from tests.make_videos import (
    CLOCKWISE,
    MIRRORED,
    clicks_in,
    flat,
    number_of,
    numbered,
    write_sound,
    write_video,
)

ROOT = Path(__file__).resolve().parent.parent
RED = (250, 20, 20)


def source_from(path: Path) -> Source:
    """The Source that the probe stage would make of a file."""
    facts = probe_video(path)
    line = constant_rate(facts.time_s, facts.last_s, facts.rates, max_frames=10000)
    return Source(
        path=path.name,
        sha256="0" * 64,
        container=facts.container,
        codec=facts.codec,
        width=facts.width,
        height=facts.height,
        rotation=facts.rotation,
        fps=line.fps,
        frames=len(line.frame_map),
        decoded=len(facts.time_s),
        variable=line.variable,
        frame_map=line.frame_map,
        audio=facts.audio,
        licence="",
    )


def write_clip(path: Path, pictures: list[np.ndarray], **options: int) -> Path:
    return write_frames(path, pictures, pictures[0].shape[:2], **options)


def write_frames(path: Path, pictures: list[np.ndarray], size: tuple[int, ...], **options: int) -> Path:
    with VideoWriter(path, fps=Fraction(25), size=(size[0], size[1]), **options) as writer:
        for picture in pictures:
            writer.write(picture)
    return path


def marked(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Grey with a red mark at the top left."""
    picture = flat(30, size)
    picture[:16, :16] = RED
    return picture


def veiled() -> np.ndarray:
    """White at half opacity, with an opaque red mark at the top left."""
    picture = np.dstack([flat(255), np.full((48, 64), 128, np.uint8)])
    picture[:16, :16] = (*RED, 255)
    return picture


PQ = {"color_trc": 16, "color_primaries": 9, "colorspace": 9, "color_range": 1}
UPRIGHT = [
    # size (h, w), corner of the mark: 0 top left, 1 top right; level of the rest
    pytest.param("a.mp4", marked(), {}, (48, 64), 0, 30, id="plain"),
    pytest.param("a.mp4", marked(), {"matrix": CLOCKWISE}, (64, 48), 1, 30, id="phone held upright"),
    pytest.param("a.mp4", marked(), {"matrix": MIRRORED}, (48, 64), 1, 30, id="front camera, mirrored"),
    pytest.param("a.mp4", marked(), {"aspect": Fraction(2)}, (48, 128), 0, 30, id="wide pixels"),
    pytest.param("a.mp4", marked(), {"aspect": Fraction(1, 2)}, (96, 64), 0, 30, id="tall pixels"),
    pytest.param("a.mkv", marked((49, 65)), {"codec": "ffv1", "pixels": "yuv444p"}, (48, 64), 0, 30, id="odd size"),
    pytest.param("a.mkv", marked(), {"codec": "ffv1", "pixels": "yuv420p10le"}, (48, 64), 0, 30, id="10 bits"),
    pytest.param("a.avi", marked(), {"codec": "mjpeg", "pixels": "yuvj420p"}, (48, 64), 0, 30, id="full range"),
    pytest.param("a.mov", veiled(), {"codec": "png", "pixels": "rgba"}, (48, 64), 0, 128, id="half transparent"),
    pytest.param("a.mp4", marked(), {"colour": {"colorspace": 1}}, (48, 64), 0, 30, id="BT.709 at small size"),
]


@pytest.mark.parametrize(("name", "picture", "options", "size", "corner", "rest"), UPRIGHT)
def test_every_frame_comes_upright_square_and_rgb(
    tmp_path: Path, name: str, picture: np.ndarray, options: dict, size: tuple[int, int], corner: int, rest: int
) -> None:
    if options.get("colour"):
        # The encoder is told the matrix; PyAV converts by it.
        path = write_clip(tmp_path / name, [picture] * 3)
    else:
        path = write_video(tmp_path / name, [picture] * 3, **{"options": {}, **options})
    source = source_from(path)
    assert (source.height, source.width) == size
    (shown, *_) = frames = list(read_source(path, source))
    assert len(frames) == 3
    assert shown.shape == (*size, 3)
    corners = [shown[5, 5], shown[5, -5], shown[-5, 5], shown[-5, -5]]
    for i, found in enumerate(corners):
        want = RED if i == corner else (rest,) * 3
        assert np.abs(found.astype(int) - want).max() <= 4, (i, found)


def test_hdr_white_becomes_white(tmp_path: Path) -> None:
    # SMPTE 2084: 58 % of the signal, 148 of 255, is the 203 cd/m2 of diffuse white (ITU-R BT.2408).
    ranges = {148: (245, 255), 64: (30, 80), 0: (0, 2), 230: (255, 255)}
    path = write_video(
        tmp_path / "a.mkv", [flat(code) for code in ranges], codec="ffv1", pixels="yuv420p10le", options={}, colour=PQ
    )
    for shown, (low, high) in zip(read_source(path, source_from(path)), ranges.values(), strict=True):
        assert low <= shown[10, 10].min() <= shown[10, 10].max() <= high


def _half(path: Path) -> Path:
    whole = write_video(path.with_name("whole.mp4"), numbered(50))
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return path


def _text(path: Path) -> Path:
    path.write_text("This is no video.\n" * 100)
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _missing(path: Path) -> Path:
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _picture(path: Path) -> Path:
    return write_video(path.with_suffix(".png"), [flat(9)], codec="png", pixels="rgb24", options={})


def _headers_only(path: Path) -> Path:
    """An index that promises frames and data that is noise."""
    whole = write_video(path, numbered(20), container={"movflags": "+faststart"})
    data = bytearray(whole.read_bytes())
    begin = data.index(b"mdat") + 4
    data[begin:] = np.random.default_rng(0).integers(0, 256, len(data) - begin, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_half, "cut short"),
        (_text, "something else"),
        (_empty, "empty"),
        (_missing, "no such file"),
        (_folder, "a folder"),
        (_picture, "something else"),
        (write_sound, r"only sound \(aac\)"),
        (_headers_only, "none that decodes"),
    ],
)
def test_what_is_no_video_is_named(tmp_path: Path, make: Callable[[Path], Path], reason: str) -> None:
    path = make(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match=reason) as caught:
        probe_video(path)
    assert str(caught.value).startswith(path.name), "the message names the file"
    assert str(tmp_path) not in str(caught.value), "and no folder of this machine"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}/a.ts\n", id="HLS playlist"),
        pytest.param("list.mp4", "ffconcat version 1.0\nfile {address}/a.mp4\n", id="concat script"),
        pytest.param("list.mpd", '<?xml version="1.0"?><MPD><BaseURL>{address}/</BaseURL></MPD>', id="DASH manifest"),
        pytest.param("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n", id="stream description"),
    ],
)
def test_nothing_reaches_for_the_network(tmp_path: Path, name: str, text: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        path = tmp_path / name
        path.write_text(text.format(address=f"http://127.0.0.1:{server.getsockname()[1]}"))
        with pytest.raises(VideoError, match="want a video"):
            probe_video(path)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_playlist_may_not_pull_in_other_local_files(tmp_path: Path) -> None:
    write_video(tmp_path / "real.mp4", numbered(5))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile real.mp4\n")
    with pytest.raises(VideoError, match="want a video"):
        probe_video(tmp_path / "list.mp4")


def test_too_many_frames_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(20))
    with pytest.raises(VideoError, match="at most 19 frames"):
        probe_video(path, max_frames=19)


def test_damaged_packets_are_counted_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", numbered(60), codec="mpeg4", options={"g": "6"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 60] = bytes(60)
    path.write_bytes(data)
    facts = probe_video(path)
    assert facts.damaged > 0
    assert facts.damage
    assert 30 <= len(facts.time_s) <= 60
    source = source_from(path)
    frames = list(read_source(path, source))
    assert len(frames) == source.frames, "probe and reading see the same frames of a damaged file"


def test_source_frames_start_anywhere_and_scale(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(40))
    source = source_from(path)
    part = list(read_source(path, source, start=17, frames=5, size=(24, 36)))
    assert [number_of(frame) for frame in part] == [17 % 12, 18 % 12, 19 % 12, 20 % 12, 21 % 12]
    assert part[0].shape == (24, 36, 3)
    with pytest.raises(ValueError, match=r"within 0 \.\. 40, got 38 \.\. 43"):
        next(read_source(path, source, start=38, frames=5))


def test_a_file_that_changed_since_its_probe_is_named(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(30))
    source = source_from(path)
    write_video(path, numbered(20))
    with pytest.raises(VideoError, match=r"want 30 frames as probed, got 20"):
        list(read_source(path, source))
    write_video(path, numbered(30, (32, 32)))
    with pytest.raises(VideoError, match="want frames of 72x48 as probed, got 32x32"):
        list(read_source(path, source))


# --- clips of ours


def smooth(count: int, size: tuple[int, int] = (64, 96)) -> list[np.ndarray]:
    """Pictures as footage has: smooth shades that move."""
    y, x = np.mgrid[: size[0], : size[1]]
    waves = [(x / 29 + i / 3, y / 27 - i / 5, (x + y) / 31 + i / 4) for i in range(count)]
    return [np.stack([127 + 100 * np.sin(w) for w in wave], -1).astype(np.uint8) for wave in waves]


def moving(count: int) -> list[np.ndarray]:
    """A sharp bar that moves over a ground that changes: what x264 was seen to encode in two ways."""
    pictures = []
    for i in range(count):
        picture = np.zeros((128, 160, 3), np.uint8)
        picture[..., 0], picture[..., 2] = 200, i * 3 % 256
        picture[20:60, 10 + i : 40 + i, 1] = 255
        pictures.append(picture)
    return pictures


def test_a_clip_comes_back_as_written(tmp_path: Path) -> None:
    pictures = smooth(30)
    path = write_clip(tmp_path / "a.mp4", pictures, crf=4)
    facts = clip_facts(path)
    assert (facts.frames, facts.fps, facts.size, facts.audio) == (30, Fraction(25), (64, 96), False)
    assert facts.keyframes == (0, 12, 24)
    back = list(read_frames(path))
    assert len(back) == 30
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(pictures, back, strict=True)) < 3


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (180, 120, 90)])
def test_colours_survive_both_ways(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    path = write_clip(tmp_path / "a.mp4", [np.full((32, 32, 3), colour, np.uint8)])
    assert np.abs(next(read_frames(path))[16, 16].astype(int) - colour).max() <= 3
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
    assert tags == (1, 1, 1, 1), "BT.709, limited range, said in the file"


def test_equal_frames_give_equal_bytes(tmp_path: Path) -> None:
    # In fresh processes: what an encoder left in memory must not show.
    script = (
        "import sys; from pathlib import Path; from tests.test_video import moving, write_clip; "
        "[write_clip(Path(sys.argv[1]) / f'{i}.mp4', moving(70)) for i in range(8)]"
    )
    digests = set()
    for run in range(2):
        (tmp_path / str(run)).mkdir()
        subprocess.run([sys.executable, "-c", script, str(tmp_path / str(run))], cwd=ROOT, check=True)
        digests |= {path.read_bytes() for path in (tmp_path / str(run)).iterdir()}
    assert len(digests) == 1
    # x264 notes its settings in the stream. With mbtree the above fails only now and then, and not on every processor.
    assert b" mbtree=0 " in digests.pop()


@pytest.mark.parametrize(
    ("fps", "text"), [(Fraction(30000, 1001), "ntsc"), (Fraction(763, 50), "15.26"), (Fraction(120), "120")]
)
def test_a_clip_keeps_its_rate_exactly(tmp_path: Path, fps: Fraction, text: str) -> None:
    path = tmp_path / f"{text}.mp4"
    with VideoWriter(path, fps=fps, size=(32, 32)) as writer:
        for _ in range(5):
            writer.write(flat(90, (32, 32)))
    assert clip_facts(path).fps == fps
    assert [stream.average_rate for stream in av.open(str(path)).streams.video] == [fps]


@pytest.mark.parametrize(
    "indices",
    [
        pytest.param([0], id="first"),
        pytest.param([69], id="last"),
        pytest.param(list(range(20, 36)), id="16 in a row, over keyframes"),
        pytest.param(list(range(1, 62, 4)), id="every fourth"),
        pytest.param([60, 3, 3, 17], id="any order, one twice"),
        pytest.param([11, 12, 13, 23, 24], id="around keyframes"),
        pytest.param([21, 22], id="disposable frames before a keyframe"),
        pytest.param(list(range(70)), id="all"),
    ],
)
def test_a_window_equals_the_frames_read_in_order(tmp_path: Path, indices: list[int]) -> None:
    path = write_clip(tmp_path / "a.mp4", smooth(70))
    whole = np.stack(list(read_frames(path)))
    assert np.array_equal(read_window(path, indices), whole[indices])
    assert np.array_equal(read_window(path.read_bytes(), indices), whole[indices])
    small = np.stack(list(read_frames(path, size=(32, 48))))
    assert np.array_equal(read_window(path.read_bytes(), indices, size=(32, 48)), small[indices])


def test_a_window_does_not_read_what_is_before_its_keyframe(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", smooth(70))
    want = read_window(path, range(38, 46))
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[36]
        assert entry.is_keyframe
        after = container.streams.video[0].index_entries[60].pos
        data[begin : entry.pos] = bytes(entry.pos - begin)
        data[after:] = bytes(len(data) - after)
    assert np.array_equal(read_window(bytes(data), range(38, 46)), want)
    with pytest.raises(VideoError, match="make it again"):
        read_window(bytes(data), [5])


def test_reading_may_start_in_the_middle(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", smooth(40))
    whole = list(read_frames(path))
    part = list(read_frames(path, start=19, frames=9))
    assert len(part) == 9
    assert all(np.array_equal(a, b) for a, b in zip(part, whole[19:28], strict=True))


@pytest.mark.parametrize("indices", [[-1], [70], [], [0, 99]])
def test_a_window_outside_the_clip_is_an_error(tmp_path: Path, indices: list[int]) -> None:
    path = write_clip(tmp_path / "a.mp4", smooth(70, (32, 32)))
    with pytest.raises(ValueError, match=r"want frame indices within 0 \.\. 69"):
        read_window(path, indices)


@pytest.mark.parametrize(
    ("size", "frame", "reason"),
    [
        ((33, 32), None, "want even sides"),
        ((32, 32), np.zeros((32, 30, 3), np.uint8), r"frame 0: want \(32, 32, 3\) uint8 RGB"),
        ((32, 32), np.zeros((32, 32, 3), np.float32), "got .* float32"),
        ((32, 32), None, "at least one frame"),
    ],
)
def test_the_writer_says_what_is_wrong(
    tmp_path: Path, size: tuple[int, int], frame: np.ndarray | None, reason: str
) -> None:
    frames = [] if frame is None else [frame]
    with pytest.raises(ValueError, match=reason):
        write_frames(tmp_path / "a.mp4", frames, size)


@pytest.mark.parametrize(
    ("codec", "pixels", "colour"),
    [
        pytest.param("libx264", "yuv420p", {}, id="untagged"),
        pytest.param("libx264", "yuv420p", {"colorspace": 1, "color_primaries": 1, "color_trc": 1}, id="BT.709"),
        pytest.param("libx264", "yuv420p", {"colorspace": 6, "color_primaries": 6, "color_trc": 6}, id="BT.601"),
        pytest.param("libx264", "yuv422p", {}, id="4:2:2"),
        pytest.param("libx264", "yuvj420p", {"color_range": 2}, id="full range"),
        pytest.param("ffv1", "yuv420p10le", {}, id="10 bits"),
    ],
)
def test_kept_yuv_looks_as_the_source_does(tmp_path: Path, codec: str, pixels: str, colour: dict[str, int]) -> None:
    path = write_video(tmp_path / "a.mkv", smooth(6), codec=codec, pixels=pixels, colour=colour, options={})
    source = source_from(path)
    with VideoWriter(tmp_path / "b.mp4", fps=source.fps, size=(64, 96), crf=1) as writer:
        for picture in read_pictures(path, source):
            assert not isinstance(picture, np.ndarray), "no way by RGB where none is needed"
            writer.write(picture)
    for want, got in zip(read_source(path, source), read_frames(tmp_path / "b.mp4"), strict=True):
        assert np.abs(want.astype(int) - got).mean() < 2.5
        assert np.abs(want.mean((0, 1)) - got.mean((0, 1))).max() < 2.5, "no cast beyond rounding"


# --- sound


@pytest.mark.parametrize(
    ("name", "sound", "rate", "options"),
    [
        pytest.param("a.mp4", "aac", 44100, {}, id="mp4, AAC"),
        pytest.param("a.mkv", "pcm_s16le", 48000, {}, id="Matroska, PCM"),
        pytest.param("a.mkv", "libmp3lame", 44100, {}, id="Matroska, MP3"),
        pytest.param("a.ts", "aac", 48000, {}, id="MPEG-TS, AAC"),
        # Its sound starts before time 0, which wraps to 26 hours after a seek.
        pytest.param("a.ts", "aac", 48000, {"options": {"bf": "0"}}, id="MPEG-TS, AAC, clock wraps"),
        pytest.param("a.avi", "pcm_s16le", 11000, {"codec": "mjpeg", "pixels": "yuvj420p"}, id="AVI, PCM at 11 kHz"),
    ],
)
@pytest.mark.parametrize("start", [0, 40, 225])
def test_a_click_stays_with_its_flash(
    tmp_path: Path, name: str, sound: str, rate: int, options: dict, start: int
) -> None:
    # A white frame and a click at every full second.
    pictures = [flat(255 if i % 25 == 0 and i else 0) for i in range(310)]
    path = write_video(tmp_path / name, pictures, clicks=range(1, 13), sound=sound, sound_rate=rate, **options)
    audio = probe_video(path).audio
    assert audio is not None
    assert (audio.rate, audio.channels) == (rate, 2)
    out = tmp_path / "clip.mp4"
    with VideoWriter(out, fps=Fraction(25), size=(48, 64), audio=audio) as writer:
        for picture in pictures[start : start + 80]:
            writer.write(picture)
        writer.add_audio(path, audio, start / 25)
    flashes = [i / 25 for i, frame in enumerate(read_frames(out)) if frame.mean() > 128]
    clicks = clicks_in(out)
    assert len(flashes) == len(clicks) >= 3
    assert np.abs(np.subtract(flashes, clicks)).max() < 0.005, "well within a frame's 40 ms"
    with av.open(str(out)) as container:
        seconds = sum(f.samples / f.sample_rate for f in container.decode(audio=0))
    assert seconds == pytest.approx(80 / 25, abs=0.04)


def test_sound_that_starts_late_is_preceded_by_silence(tmp_path: Path) -> None:
    pictures = [flat(10)] * 50
    path = write_video(tmp_path / "a.mkv", pictures, clicks=(0.5, 1.5), sound="pcm_s16le", delay_s=0.25)
    audio = probe_video(path).audio
    assert audio is not None
    assert audio.start_s == pytest.approx(0.25, abs=0.002)
    with VideoWriter(tmp_path / "b.mp4", fps=Fraction(25), size=(48, 64), audio=audio) as writer:
        for picture in pictures:
            writer.write(picture)
        writer.add_audio(path, audio, 0.0)
    assert clicks_in(tmp_path / "b.mp4") == pytest.approx([0.75, 1.75], abs=0.005)


def test_audio_needs_a_writer_that_knows_of_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(5), clicks=())
    audio = probe_video(path).audio
    assert audio is not None
    with VideoWriter(tmp_path / "b.mp4", fps=Fraction(25), size=(48, 64)) as writer:
        writer.write(flat(1))
        with pytest.raises(ValueError, match="made with audio"):
            writer.add_audio(path, audio, 0.0)


# --- depth


def test_depth_is_exact_and_repeatable(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    depth = [rng.integers(0, 65536, (35, 51)).astype(np.uint16) for _ in range(4)]
    for name in ("a.mkv", "b.mkv"):
        write_depth(tmp_path / name, depth, Fraction(30000, 1001))
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()
    for file in (tmp_path / "a.mkv", (tmp_path / "a.mkv").read_bytes()):
        back = list(read_depth(file))
        assert all(np.array_equal(a, b) and b.dtype == np.uint16 for a, b in zip(depth, back, strict=True))


def test_depth_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one depth map"):
        write_depth(tmp_path / "a.mkv", [], Fraction(30))
    with pytest.raises(ValueError, match=r"depth 0: want .* uint16 mm, got .* float32"):
        write_depth(tmp_path / "a.mkv", [np.zeros((4, 4), np.float32)], Fraction(30))
    with pytest.raises(ValueError, match=r"depth 1: want \(4, 4\) uint16"):
        write_depth(tmp_path / "a.mkv", [np.zeros((4, 4), np.uint16), np.zeros((4, 6), np.uint16)], Fraction(30))
    with pytest.raises(VideoError, match="want depth as ffv1 gray16le, got h264"):
        list(read_depth(write_clip(tmp_path / "clip.mp4", [flat(1)])))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_damaged_depth_is_an_error_not_a_picture(tmp_path: Path, share: float) -> None:
    rng = np.random.default_rng(0)
    write_depth(tmp_path / "a.mkv", [rng.integers(0, 9000, (64, 64)).astype(np.uint16) for _ in range(3)], Fraction(30))
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    data[int(len(data) * share)] ^= 0x01
    with pytest.raises(VideoError, match="make it again"):
        list(read_depth(bytes(data)))
