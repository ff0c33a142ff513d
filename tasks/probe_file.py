"""What `probe` does behind the fence: a file decoded, and its Source written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.records import Source, save_record
from datasets.video import VideoError, VideoFacts, most_pixels, probe_video, refuse_bomb
from tasks.batch import Refused
from tasks.ops.timeline import Timeline, constant_rate


def probe_file(
    path: str,
    out: Path,
    *,
    name: str,
    sha256: str,
    licence: str,
    max_lost: float,
    max_frames: int,
    max_pixels: int,
    max_expansion: float,
    max_hold_s: float,
) -> None:
    """Decode the file at `path`, which its run calls `name`, and write its Source to `out`.

    Raises Refused for one that is no video, has no frames, is broken or too large.
    """
    try:
        facts = probe_video(path, max_frames=max_frames, max_pixels=max_pixels, max_expansion=max_expansion)
        _refuse_broken(facts, name, max_lost)
        timeline = constant_rate(facts.time_s, facts.last_s, facts.rates, max_frames=max_frames)
        # Frames that are shown for long are written as often as they are shown.
        most = most_pixels(Path(path).stat().st_size, max_expansion)
        refuse_bomb(float(len(timeline.frame_map)) * facts.width * facts.height, most, Path(name).name)
        _refuse_held(facts, timeline, max_hold_s)
    except Refused:
        raise
    except VideoError as error:
        raise Refused(str(error)) from error
    except ValueError as error:
        raise Refused(f"{Path(name).name}: {error}") from error
    source = Source(
        path=name,
        sha256=sha256,
        container=facts.container,
        codec=facts.codec,
        width=facts.width,
        height=facts.height,
        rotation=facts.rotation,
        fps=timeline.fps,
        frames=len(timeline.frame_map),
        decoded=len(facts.time_s),
        variable=timeline.variable,
        frame_map=timeline.frame_map,
        audio=facts.audio,
        licence=licence,
    )
    save_record(source, out)


def _refuse_held(facts: VideoFacts, timeline: Timeline, max_hold_s: float) -> None:
    """One frame held for hours would be hundreds of clips of a still picture."""
    held_s = np.append(np.diff(facts.time_s), facts.last_s)
    if timeline.variable and held_s.max() > max_hold_s:
        at = int(held_s.argmax())
        raise ValueError(
            f"want frames shown for {max_hold_s:g} s at most, got {held_s[at]:.1f} s: the timestamps jump after frame "
            f"{at}; cut the file there, or set probe.max_hold_s"
        )


def _refuse_broken(facts: VideoFacts, source: str, max_lost: float) -> None:
    """Headers alone prove nothing, so a length that falls short counts only where decoding met damage too."""
    if not facts.damaged:
        return
    shown_s = float(facts.time_s[-1]) + facts.last_s
    missing = 1 - shown_s / facts.promised_s if facts.promised_s > 0 else 0.0
    spoilt = facts.damaged / (len(facts.time_s) + facts.damaged)
    lost = max(missing, spoilt)
    if lost > max_lost:
        got = f"{len(facts.time_s)} frames, {shown_s:.1f} of {facts.promised_s:.1f} s, {facts.damaged} damaged"
        raise Refused(
            f"{Path(source).name}: want at most {max_lost:.0%} of a file lost, got {lost:.0%} ({got}: {facts.damage}); "
            "copy it again, or set probe.max_lost"
        )
