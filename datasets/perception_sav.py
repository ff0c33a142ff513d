"""SA-V JSON -> MaskTracks: SAM 2's video annotations (facebookresearch/sam2, sav_dataset/README.md).

`masklet` is a list of annotated frames, each a list with one RLE object a masklet; `masklet_id` names them in that
order. Annotations are at 6 frames a second of a video at 24: entry i speaks of the video's frame 4 * i.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from datasets.masks import Masks
from datasets.perception import MAX_FRAME, MAX_IN_FRAME, MAX_ROWS, MaskTracks, PerceptionError, Place, picture_size
from datasets.perception import whole as whole_number
from datasets.perception_rle import checked_counts

# Video frames from one annotation to the next, where the file does not say how many frames the video has.
EVERY = 4


def is_sav(plain: Any) -> bool:
    """Whether a JSON file is in SA-V's form."""
    return isinstance(plain, dict) and "masklet" in plain


def read_sav(plain: Any, path: Path) -> MaskTracks:
    """The masklets of a SA-V file that was read as JSON. Raises PerceptionError."""
    place = Place(path.name)
    size = picture_size(plain.get("video_height"), plain.get("video_width"), place / "video_height, video_width")
    frames = _list(plain["masklet"], place / "masklet", "a list with an entry for each annotated frame")
    ids = _list(plain.get("masklet_id"), place / "masklet_id", "a list with an id for each masklet")
    ids = [whole_number(one, place / f"masklet_id[{i}]", "an id of 0 or more", 0, 1 << 53) for i, one in enumerate(ids)]
    if len(set(ids)) != len(ids) or not 1 <= len(ids) <= MAX_IN_FRAME:
        raise (place / "masklet_id").wrong(f"1 to {MAX_IN_FRAME} ids, each once", ids)
    if len(frames) * len(ids) > MAX_ROWS:
        raise (place / "masklet").wrong(f"at most {MAX_ROWS} masks", len(frames) * len(ids))
    step = _step(plain, len(frames), place)
    frame, who, counts = [], [], []
    for i, row in enumerate(frames):
        here = place / f"masklet[{i}]"
        if not isinstance(row, list) or len(row) != len(ids):
            raise here.wrong(f"{len(ids)} masks, one a masklet_id", len(row) if isinstance(row, list) else row)
        for j in sorted(range(len(ids)), key=ids.__getitem__):
            text = checked_counts(row[j], size, here / f"[{j}]")
            if text:
                frame.append(i * step)
                who.append(ids[j])
                counts.append(text)
    return MaskTracks(
        frame=np.array(frame, np.int32),
        id=np.array(who, np.int64),
        mask=Masks.from_counts(counts, size=size),
        names={str(one): str(one) for one in sorted(ids)},
        annotated=np.arange(len(frames), dtype=np.int32) * step,
    )


def _step(plain: dict[str, Any], entries: int, place: Place) -> int:
    """Video frames from entry to entry: 4, or 1 where there is an entry for every frame of the video."""
    if not entries:
        raise (place / "masklet").wrong("an entry for each annotated frame", [])
    said = plain.get("video_frame_count")
    if said is None:
        return EVERY
    count = whole_number(said, place / "video_frame_count", "a number of frames", 1, MAX_FRAME)
    if entries == count:
        return 1
    # The last annotation may lie a little before the end, never beyond it.
    if (entries - 1) * EVERY >= count:
        raise PerceptionError(
            f"{place.file}, masklet: want at most {-(-count // EVERY)} entries (every {EVERY}th of "
            f"{count} frames) or {count} (every frame), got {entries}; is it of this video?"
        )
    return EVERY


def _list(value: Any, place: Place, want: str) -> list[Any]:
    if not isinstance(value, list):
        raise place.wrong(want, value)
    return value
