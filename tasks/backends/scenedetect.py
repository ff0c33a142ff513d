"""PySceneDetect: frames in, cuts out. It is fed frame by frame, so it opens no file and keeps none."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detector import SceneDetector
from scenedetect.detectors import AdaptiveDetector, ThresholdDetector

# Its thresholds were set on frames scaled to about this width.
WORKING_SIDE = 256
# A mean change below this many of 255 levels is noise: the frame repeats the one before it.
_REPEAT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cuts:
    """Where shots begin, and how bright every frame is."""

    cuts: tuple[int, ...]  # ascending frames at which a new shot or a black stretch begins or ends; never 0
    level: np.ndarray  # (T,) float32  mean of all pixels, 0..255


def working_size(height: int, width: int) -> tuple[int, int]:
    """The (h, w) at which frames are to be given.

    >>> working_size(720, 1280)
    (144, 256)
    """
    scale = min(1.0, WORKING_SIDE / max(height, width))
    return max(2, round(height * scale)), max(2, round(width * scale))


def find_cuts(
    frames: Iterable[np.ndarray],
    fps: Fraction,
    *,
    threshold: float,
    min_content: float,
    min_shot: int,
    fade_level: float,
) -> Cuts:
    """Cuts of a video from its (h, w, 3) uint8 RGB frames: hard ones by AdaptiveDetector, fades by ThresholdDetector.

    `threshold` is how many times more a frame must change than its neighbours, `min_content` the least change
    (0..255), `min_shot` the frames between two hard cuts, `fade_level` the mean level below which a frame is black
    (0: no fades). The former never sees a repeated frame: film shown on twos, or a camera that drops frames, would seem
    to cut at each step.
    """
    hard = AdaptiveDetector(adaptive_threshold=threshold, min_content_val=min_content, min_scene_len=min_shot)
    # With a bias of -1 the cut falls where the picture has gone, with +1 where it is back: black stands alone between.
    fades: list[SceneDetector] = [
        ThresholdDetector(threshold=fade_level, min_scene_len=0, fade_bias=bias, add_final_scene=bias < 0)
        for bias in (-1.0, 1.0)
        if fade_level > 0
    ]
    cuts: set[int] = set()
    level = array("f")
    last: np.ndarray | None = None
    for i, frame in enumerate(frames):
        level.append(float(frame.mean()))
        for detector in fades:
            cuts.update(cut.frame_num for cut in detector.process_frame(FrameTimecode(i, fps), frame))
        if last is not None and (frame is last or cv2.norm(frame, last, cv2.NORM_L1) < _REPEAT * frame.size):
            continue
        last = frame
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        cuts.update(cut.frame_num for cut in hard.process_frame(FrameTimecode(i, fps), bgr))
    if last is not None:
        # The detector looks some frames ahead: the last picture, held, lets it judge the end too.
        bgr = cv2.cvtColor(last, cv2.COLOR_RGB2BGR)
        for i in range(len(level), len(level) + hard.window_width):
            cuts.update(cut.frame_num for cut in hard.process_frame(FrameTimecode(i, fps), bgr))
        for detector in fades:
            cuts.update(cut.frame_num for cut in detector.post_process(FrameTimecode(len(level) - 1, fps)))
    # Noise in black is no cut.
    seen = [cut for cut in sorted(cuts - {0}) if max(level[cut - 1], level[cut]) >= fade_level]
    return Cuts(cuts=tuple(seen), level=np.array(level, np.float32))
