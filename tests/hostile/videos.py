"""Videos that are damaged, odd, or none; and names that are hard on commands."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile.case import Canary, Case
from tests.make_videos import CLOCKWISE, MIRRORED, flat, write_sound, write_video
from tests.tiny_weights import people_video

SIZE = (96, 128)
FRAMES = 8
FAST = {"movflags": "+faststart"}
PQ = {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 1}
NONE_DECODES = "none that decodes|cut short|at most 10%"


def people(frames: int = FRAMES, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Two who are found by the tests' own networks."""
    return list(people_video(frames, size))


def good(path: Path, **options: object) -> Path:
    """A short video of two people."""
    return write_video(path, options.pop("pictures", None) or people(), **options)  # type: ignore[arg-type]


def cut(share: float, name: str = "whole.mp4", **options: Any) -> Callable[[Path], object]:
    """A video of which only the first part arrived."""

    def make(path: Path) -> None:
        whole = _whole(path, name, **options)
        path.write_bytes(whole[: max(1, round(len(whole) * share))])

    return make


def _whole(path: Path, name: str, frames: int = 24, **options: Any) -> bytes:
    """The bytes of a longer good video, made elsewhere."""
    aside = path.parent.parent / f".{path.stem[:20]}-{name}"
    try:
        return good(aside, pictures=people(frames), **options).read_bytes()
    finally:
        aside.unlink(missing_ok=True)


def patched(*changes: tuple[bytes, int, bytes], **options: object) -> Callable[[Path], object]:
    """An MP4 with bytes of a box changed: (box, offset after its name, bytes)."""

    def make(path: Path) -> None:
        data = bytearray(_whole(path, "whole.mp4", **options))
        for box, offset, new in changes:
            begin = data.index(box) + 4 + offset
            data[begin : begin + len(new)] = new
        path.write_bytes(data)

    return make


def damaged(share: float) -> Callable[[Path], object]:
    """A share of the pictures' bytes turned into noise, in runs of eight."""

    def make(path: Path) -> None:
        data, rng = bytearray(_whole(path, "whole.mp4", 60, container=FAST)), np.random.default_rng(1)
        begin = data.index(b"mdat") + 400
        for at in rng.integers(begin, len(data) - 8, max(1, round(share * (len(data) - begin) / 8))):
            data[at : at + 8] = rng.bytes(8)
        path.write_bytes(data)

    return make


def text(words: str) -> Callable[[Path], object]:
    """A text file."""
    return lambda path: path.write_text(words)


def data(raw: bytes) -> Callable[[Path], object]:
    """A file of bytes."""
    return lambda path: path.write_bytes(raw)


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.mp4", "x")


def _every_frame_a_cut(path: Path) -> None:
    rng = np.random.default_rng(3)
    write_video(path, [np.full((*SIZE, 3), rng.integers(40, 250, 3), np.uint8) for _ in range(24)])


def _picture(path: Path) -> None:
    aside = path.with_suffix(".png")
    write_video(aside, [flat(9)], codec="png", pixels="rgb24", options={})
    aside.rename(path)


def _sound(path: Path) -> None:
    write_sound(path)


def _nested(depth: int) -> bytes:
    """Boxes within boxes."""
    size = 8 * depth
    return b"".join(struct.pack(">I", size - 8 * i) + b"moov" for i in range(depth))


def _many_tracks(path: Path) -> None:
    import av

    with av.open(str(path), "w", format="matroska") as out:
        tracks = [out.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in range(300)]
        for track in tracks:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 80), np.int16), format="s16", layout="mono")
            frame.sample_rate = 8000
            out.mux(track.encode(frame))


def _gif_bomb(path: Path) -> None:
    """A GIF that says 65535 x 65535 pixels in a few bytes."""
    head = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    frame = (
        b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x16\x8c-\x99\x87*\x1c\xdc3\xa0\x02u\xec\x95\xfa"
    )
    path.write_bytes(head + frame + b"\xa8\xde`\x8c\x04\x91L\x01\x00;")


def _jump(path: Path) -> None:
    write_video(path, people(4), times=[0, 40, 80, 9 * 3_600_000], codec="libx264")


def _with_names(names: list[tuple[str, str]]) -> list[Case]:
    return [Case(f"a name with {what}", name, lambda path: distinct(path), "accepted") for what, name in names]


def distinct(path: Path) -> None:
    """A good video of its own bytes: equal ones would be taken once."""
    pictures = people()
    number = sum(os.fsencode(path.name)) % 251
    for picture in pictures:
        picture[:4, :4] = (number, len(path.name) % 251, 9)
    aside = path.parent.parent / f".aside-{number}.mp4"
    # Beside each other before they have their names: FFmpeg would take some names for patterns.
    write_video(aside, pictures)
    aside.rename(path)


SHORT_NAMES = [
    ("blanks", " two  blanks .mp4"), ("quotes", "it's \"quoted\" `so`.mp4"), ("a line break", "two\nlines.mp4"),
    ("an emoji", "tanz 💃🕺.mp4"), ("a leading dash", "--preset.mp4"), ("250 characters", "n" * 246 + ".mp4"),
    ("a colon", "http:%2f%2fexample.mp4"), ("a template", "{clips} %03d $HOME.mp4"), ("a backslash", "a\\b\tc.mp4"),
    ("right-to-left letters", "\u202eריקוד.mp4"),
]  # fmt: skip


def cases(canary: Canary) -> list[Case]:
    """Every video of the corpus."""
    return [*_cut_short(), *_no_videos(), *_odd(), *_lying(), *_playlists(canary), *_with_names(SHORT_NAMES)]


def _cut_short() -> list[Case]:
    reject = "rejected"
    return [
        Case("cut after 30 bytes", "cut-30b.mp4", lambda p: p.write_bytes(_whole(p, "w.mp4")[:30]), reject,
             "cut short"),
        Case("cut at a tenth, index in front", "cut-10.mp4", cut(0.1, container=FAST), reject, NONE_DECODES),
        Case("cut at half, index in front", "cut-50.mp4", cut(0.5, container=FAST), reject, "at most 10%"),
        Case("cut at nine tenths, index in front", "cut-90.mp4", cut(0.85, container=FAST), reject, "at most 10%"),
        Case("cut at half, index at the end", "cut-50-end.mp4", cut(0.5), reject, "cut short"),
        Case("the last byte missing, index at the end", "cut-1b.mp4", lambda p: p.write_bytes(_whole(p, "w.mp4")[:-1]),
             "accepted"),
        Case("Matroska cut at half", "cut-50.mkv", cut(0.5, "w.mkv"), "accepted"),
        Case("MPEG-TS cut at half", "cut-50.ts", cut(0.5, "w.ts", frames=40), "accepted"),
        Case("AVI cut at half", "cut-50.avi", cut(0.5, "w.avi"), reject, "at most 10%"),
        Case("MPEG-TS cut within its first packet", "cut-100b.ts", lambda p: p.write_bytes(_whole(p, "w.ts")[:100]),
             reject, "cut short|no stream|none that"),
    ]  # fmt: skip


def _no_videos() -> list[Case]:
    rng, reject = np.random.default_rng(0), "rejected"
    return [
        Case("empty", "empty.mp4", data(b""), reject, "empty one"),
        Case("text named mp4", "text.mp4", text("This is no video.\n" * 100), reject, "something else"),
        Case("a web page", "page.mp4", text("<!doctype html><title>404</title>"), reject, "something else"),
        Case("noise", "noise.mkv", data(rng.bytes(50_000)), reject, "something else"),
        Case("zeros", "zeros.avi", data(bytes(1 << 20)), reject, "something else"),
        Case("a picture named mp4", "picture.mp4", _picture, reject, "something else"),
        Case("a zip named mp4", "archive.mp4", _zip, reject, "something else"),
        Case("sound only", "sound.mp4", _sound, reject, r"only sound \(aac\)"),
        Case("300 tracks of sound", "tracks.mkv", _many_tracks, reject, "only sound"),
        Case("boxes within boxes", "nested.mp4", data(_nested(50_000)), reject, "something else"),
        Case("a folder named mp4", "folder.mp4", lambda p: p.mkdir(), "unseen"),
        Case("a pipe named mp4", "pipe.mp4", lambda p: os.mkfifo(p), "unseen"),
        Case("a link to a device without end", "zero.mp4", lambda p: p.symlink_to("/dev/zero"), "unseen"),
        Case("a link to itself", "loop.mp4", lambda p: p.symlink_to(p), reject, "Too many levels"),
        Case("a link to nothing", "nowhere.mp4", lambda p: p.symlink_to("gone.mp4"), reject, "No such file"),
        Case("a folder that is a link to the one above", "above", lambda p: p.symlink_to(".."), "unseen"),
    ]  # fmt: skip


def _odd() -> list[Case]:
    ok, reject = "accepted", "rejected"
    hdr = {"codec": "ffv1", "pixels": "yuv420p10le", "options": {}, "colour": PQ}
    tff = {"codec": "mpeg2video", "options": {"flags": "+ilme+ildct", "b": "2M"}}
    return [
        Case("a video that is well", "good.mp4", lambda p: good(p), ok),
        Case("one frame", "one.mp4", lambda p: good(p, pictures=people(1)), reject, "too short"),
        Case("frames at uneven times", "variable.mkv",
             lambda p: good(p, times=[0, 40, 90, 250, 260, 400, 440, 480]), ok),
        Case("turned a quarter", "turned.mp4", lambda p: good(p, matrix=CLOCKWISE), ok),
        Case("mirrored", "mirrored.mp4", lambda p: good(p, matrix=MIRRORED), ok),
        Case("interlaced", "interlaced.mpg", lambda p: good(p, **tff), ok),
        Case("10-bit HDR", "hdr.mkv", lambda p: good(p, **hdr), ok),
        Case("with alpha", "alpha.mov", lambda p: good(p, pictures=[np.dstack([x, np.full(x.shape[:2], 200, np.uint8)])
             for x in people()], codec="qtrle", pixels="argb", options={}), ok),
        Case("odd sides", "odd.mkv", lambda p: good(p, pictures=people(size=(97, 131)), codec="ffv1", pixels="yuv444p",
             options={}), ok),
        Case("wide pixels", "wide.mp4", lambda p: good(p, aspect=Fraction(4, 3)), ok),
        Case("one pixel", "pixel.mkv", lambda p: write_video(p, [flat(99, (1, 1))] * 10, codec="ffv1", pixels="bgr0",
             options={}), reject, "want sides of 2 to 16384 pixels, got 1x1"),
        Case("8K", "8k.mp4", lambda p: write_video(p, [flat(120, (4320, 7680))] * 3, options={"preset": "ultrafast"}),
             reject, "no people found"),
        Case("a cut at every frame", "cuts.mp4", _every_frame_a_cut, ok),
        Case("black", "black.mp4", lambda p: write_video(p, [flat(0, SIZE)] * 25), reject, "black"),
        Case("frozen", "frozen.mp4", lambda p: good(p, pictures=[people(2)[0]] * 25), reject, "stands still"),
        Case("a few damaged packets", "damaged-1.mp4", damaged(0.001), ok),
        Case("many damaged packets", "damaged-50.mp4", damaged(0.5), reject, NONE_DECODES),
        Case("strange sound", "sound.mkv", lambda p: good(p, clicks=[0.1], sound="pcm_u8", sound_rate=7), ok),
        Case("motion JPEG", "mjpeg.avi", lambda p: good(p, codec="mjpeg", pixels="yuvj420p", options={}), ok),
        Case("an animated GIF", "gif.mp4", _gif, ok),
    ]  # fmt: skip


def _gif(path: Path) -> None:
    aside = path.parent.parent / ".aside.gif"
    write_video(aside, people(), codec="gif", pixels="rgb8", options={})
    aside.rename(path)


def _lying() -> list[Case]:
    ok, reject = "accepted", "rejected"
    zero, large = struct.pack(">I", 0), struct.pack(">I", 0xFFFFFFFF)
    return [
        Case("a clock of 0 ticks a second", "fps-0.mp4", patched((b"mdhd", 12, zero)), reject, "too short"),
        Case("a clock of 4 billion ticks a second", "fps-absurd.mp4", patched((b"mdhd", 12, large)), reject,
             "too short"),
        Case("frames that take no time", "no-time.mp4", patched((b"stts", 12, zero)), ok),
        Case("frames that take half a day each", "slow.mp4", patched((b"stts", 12, struct.pack(">I", 0x7FFFFFFF))),
             reject, "timestamps jump|too short"),
        Case("a length of days in the header", "long.mp4", patched((b"mvhd", 16, large), (b"mdhd", 16, large)), ok),
        Case("a length of 0 in the header", "short.mp4", patched((b"mvhd", 16, zero), (b"mdhd", 16, zero)), ok),
        Case("nine hours between two frames", "jump.mkv", _jump, reject, "timestamps jump after frame 2"),
        Case("four billion entries in an index", "index.mp4", patched((b"stsz", 8, large)), reject,
             "cut short|none that decodes|at most|memory"),
        Case("offsets beyond the end", "offsets.mp4", patched((b"stco", 8, large)), reject, NONE_DECODES),
        Case("a box longer than the file", "box.mp4", patched((b"moov", -8, large)), ok),
        Case("a picture of 65535 x 65535 in 60 bytes", "bomb.mp4", _gif_bomb, reject, "none that decodes"),
    ]  # fmt: skip


def _playlists(canary: Canary) -> list[Case]:
    near, far, reject = canary.file, canary.address, "rejected"
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
    mpd = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>{}/</BaseURL></Period></MPD>'
    )
    return [
        Case("HLS playlist of a local file", "hls-near.mp4", text(hls.format(f"file://{near}")), reject,
             "something else"),
        Case("HLS playlist of an address", "hls-far.ts", text(hls.format(f"{far}/a.ts")), reject, "something else"),
        Case("concat script of a local file", "concat-near.mp4", text(f"ffconcat version 1.0\nfile '{near}'\n"), reject,
             "something else"),
        Case("concat script of an address", "concat-far.mkv", text(f"ffconcat version 1.0\nfile {far}/a.mp4\n"), reject,
             "something else"),
        Case("DASH manifest of an address", "dash.mp4", text(mpd.format(far)), reject, "something else"),
        Case("session description", "session.mp4", text("v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"),
             reject,
             "something else"),
        Case("list of players", "list.mp4", text(f"[playlist]\nFile1={far}/a.mp4\nNumberOfEntries=1\n"), reject,
             "something else"),
        Case("QuickTime reference to another file", "reference.mov", _reference(canary), reject,
             "cut short|no stream|else"),
        Case("subtitles that name a file", "subtitles.mp4", text(f"[Script Info]\nVideo File: {near}\n[Events]\n"),
             reject,
             "something else"),
        Case("XML that takes in a file", "entity.mp4",
             text(f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{near}">]><smil><video src="{far}/a"/>&e;</smil>'), reject,
             "something else"),
    ]  # fmt: skip


def _reference(canary: Canary) -> Callable[[Path], object]:
    """A movie of which all lies elsewhere: rmra/rmda/rdrf (QuickTime File Format, "Reference movies")."""

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body) + 8) + kind + body

    def make(path: Path) -> None:
        url = f"{canary.address}/a.mov\0".encode()
        rdrf = box(b"rdrf", bytes(4) + b"url " + struct.pack(">I", len(url)) + url)
        path.write_bytes(box(b"ftyp", b"qt  " + bytes(4)) + box(b"moov", box(b"rmra", box(b"rmda", rdrf))))

    return make
