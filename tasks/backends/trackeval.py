"""TrackEval (PyPI, Luiten and Hoffhues): overlaps of truth and found ids -> HOTA, CLEAR and identity figures, exactly.

Its metric classes are given arrays in memory: its data set readers, its Evaluator and their prints are not used.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks.ops.track_rows import Overlaps

# What TrackEval counts of one sequence, flat: "HOTA/AssA" -> (19,) over its thresholds, "CLEAR/IDSW" -> (), ...
Tally = dict[str, np.ndarray]
SCORES = ("HOTA", "DetA", "AssA", "IDF1", "MOTA", "IDSW", "Frag")


def tally(frames: Sequence[Overlaps]) -> Tally:
    """What TrackEval counts of one sequence: HOTA (Luiten et al., IJCV 2021), CLEAR MOT (Bernardin and Stiefelhagen,
    2008) and identity measures (Ristani et al., 2016). CLEAR and identity match from a similarity of 0.5 on.
    """
    data = _sequence(frames)
    out: Tally = {}
    for name, metric in _metrics().items():
        for field, value in metric.eval_sequence(data).items():
            out[f"{name}/{field}"] = np.asarray(value, np.float64)
    return out


def scores(tallies: Mapping[str, Tally]) -> dict[str, float]:
    """SCORES of some sequences together, as TrackEval combines them: fractions, IDSW and Frag as numbers of times.

    HOTA, DetA and AssA are means over the localisation thresholds 0.05 .. 0.95. Raises ValueError for no sequence.
    """
    if not tallies:
        raise ValueError("scores: want the tally of one sequence or more, got none")
    combined = {
        name: metric.combine_sequences({sequence: _part(one, name) for sequence, one in tallies.items()})
        for name, metric in _metrics().items()
    }
    return {
        "HOTA": float(np.mean(combined["HOTA"]["HOTA"])),
        "DetA": float(np.mean(combined["HOTA"]["DetA"])),
        "AssA": float(np.mean(combined["HOTA"]["AssA"])),
        "IDF1": float(combined["Identity"]["IDF1"]),
        "MOTA": float(combined["CLEAR"]["MOTA"]),
        "IDSW": float(combined["CLEAR"]["IDSW"]),
        "Frag": float(combined["CLEAR"]["Frag"]),
    }


def _sequence(frames: Sequence[Overlaps]) -> dict[str, Any]:
    """The dictionary that TrackEval's metrics take: its ids count from 0 without a gap."""
    truth = np.unique(np.concatenate([np.empty(0, np.int64), *(frame.truth for frame in frames)]))
    found = np.unique(np.concatenate([np.empty(0, np.int64), *(frame.found for frame in frames)]))
    return {
        "num_timesteps": len(frames),
        "num_gt_ids": len(truth),
        "num_tracker_ids": len(found),
        "num_gt_dets": sum(len(frame.truth) for frame in frames),
        "num_tracker_dets": sum(len(frame.found) for frame in frames),
        "gt_ids": [np.searchsorted(truth, frame.truth) for frame in frames],
        "tracker_ids": [np.searchsorted(found, frame.found) for frame in frames],
        "similarity_scores": [np.asarray(frame.similarity, np.float64) for frame in frames],
    }


def _part(one: Tally, name: str) -> dict[str, Any]:
    return {key.partition("/")[2]: value for key, value in one.items() if key.startswith(f"{name}/")}


@functools.cache
def _metrics() -> dict[str, Any]:
    from trackeval.metrics import CLEAR, HOTA, Identity

    quiet = {"PRINT_CONFIG": False}  # they would print their settings to standard output
    return {"HOTA": HOTA(), "CLEAR": CLEAR(dict(quiet)), "Identity": Identity(dict(quiet))}
