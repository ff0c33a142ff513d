"""All that touches video: raw files in; clips in the shard encoding out and in; depth.

The one place that others import; PyAV is imported by datasets/video*.py and nowhere else.
"""

from __future__ import annotations

from datasets.video_clip import ClipFacts, clip_facts, read_frames, read_window
from datasets.video_depth import read_depth, write_depth
from datasets.video_file import VideoError
from datasets.video_geometry import stored_geometry
from datasets.video_source import (
    MAX_EXPANSION,
    MAX_FRAMES,
    MAX_PIXELS,
    VideoFacts,
    most_pixels,
    probe_video,
    read_pictures,
    read_small,
    read_source,
    refuse_bomb,
)
from datasets.video_write import VideoWriter

__all__ = [
    "MAX_EXPANSION",
    "MAX_FRAMES",
    "MAX_PIXELS",
    "ClipFacts",
    "VideoError",
    "VideoFacts",
    "VideoWriter",
    "clip_facts",
    "most_pixels",
    "probe_video",
    "read_depth",
    "read_frames",
    "read_pictures",
    "read_small",
    "read_source",
    "read_window",
    "refuse_bomb",
    "stored_geometry",
    "write_depth",
]
