"""Video -> how its stored pictures are turned, stretched and cut to the upright ones, from its first picture alone."""

from __future__ import annotations

from pathlib import Path

from datasets.video_file import Damage, Geometry, VideoError, decode, geometry_of, name_of, open_video, video_stream


def stored_geometry(path: str | Path) -> Geometry:
    """The geometry of a raw file's pictures. Raises VideoError for a file that holds none."""
    name = name_of(path)
    with open_video(path) as container:
        stream = video_stream(container, name)
        for frame in decode(container, [stream], Damage()):
            return geometry_of(frame, stream, name)
    raise VideoError(f"{name}: want pictures, got none that can be decoded")
