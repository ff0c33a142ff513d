"""Dataset -> its card: README.md beside the shards, in the form that Hugging Face reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datasets.index import DatasetInfo
from tasks.ops.funnel import pattern

# Upper ends of the clip counts that Hugging Face sorts data sets by.
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LOAD = """\
```python
from datasets.stream import ShardStream  # Duetflow's own package; without torch

for sample in ShardStream("PATH/TO/THIS/FOLDER", split="train", window=16, size=(256, 256)):
    sample["video"]     # (16, 256, 256, 3) uint8 RGB
    sample["mask"]      # (people, 16, 256, 256) bool, one identity a row, none overlapping
    sample["keypoint"]  # (people, 16, joints, 2) float32 pixels
```

Inside a torch `DataLoader`: `model.stream.TorchShardStream`. Any WebDataset reader opens the same files:

```python
import glob, io, json, numpy, webdataset

for sample in webdataset.WebDataset(sorted(glob.glob("shards/train-*.tar")), shardshuffle=False):
    about = json.loads(sample["json"])
    pose = numpy.load(io.BytesIO(sample["pose.npz"]), allow_pickle=False)
```

Decode the members yourself, as here: webdataset's default decoders unpickle."""


def dataset_card(
    info: DatasetInfo,
    rows: Sequence[Mapping[str, Any]],
    rejects: Sequence[Mapping[str, Any]],
    weights: Mapping[str, str],
) -> str:
    """The card's text, from what is committed, the index's rows, the rejects' rows and the weights' sha256 by name."""
    accepted = [row for row in rows if row["verdict"] == "accepted"]
    size = next((name for limit, name in _SIZES if len(rows) < limit), "n>1M")
    licences = Counter(row["licence"] or "not stated" for row in rows)
    parts = [
        "---",
        f"pretty_name: {_yaml(info.name)}",
        "license: other",
        f"license_name: {_yaml('; '.join(sorted(licences)) or 'none')}",
        "task_categories:\n- text-to-video\n- image-to-video",
        "tags:\n- webdataset\n- video\n- pose\n- segmentation\n- multi-person",
        f"size_categories:\n- {size}",
        "---",
        f"# {info.name}",
        "Clips of several people in which every person keeps one identity, one pose track and one mask track. "
        f"WebDataset shards, format version {info.format}, generation {info.generation}, made by Duetflow with "
        f"configuration `{info.configuration}`.",
        "## What is in it",
        _table(("", "accepted", "in review"), [(what, *counts) for what, counts in _counts(rows)]),
        "Clips in review are in `review/`, in the same format; training reads them only when asked.",
        "### Splits",
        "By source: no footage and no motion is in two splits.",
        _table(("split", "accepted", "in review"), _by(rows, lambda row: row["split"])),
        "### People in a clip",
        _table(("people", "accepted", "in review"), _by(rows, lambda row: row["num_people"])),
        "### Identities",
        _identities(rows),
        "### Length",
        _table(("seconds", "accepted", "in review"), _by(rows, lambda row: _length(row["duration_s"]))),
        "### Licences of the sources",
        _table(("licence", "clips"), sorted(licences.items())),
        "## What was turned away",
        _table(("stage", "reason", "clips"), _reasons(rejects)) if rejects else "Nothing.",
        "## What is in review, and why",
        _table(("reason", "clips"), _review(rows)) if len(rows) > len(accepted) else "Nothing.",
        "## How to load it",
        _LOAD,
        "## What it was made with",
        _table(("weights", "sha256"), sorted(weights.items())) if weights else "No learned weights.",
    ]
    return "\n\n".join(parts[9:]).join(("\n".join(parts[:9]) + "\n\n", "\n"))


def _counts(rows: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, list[Any]]]:
    both = [[row for row in rows if row["verdict"] == verdict] for verdict in ("accepted", "review")]
    yield "clips", [len(some) for some in both]
    yield "frames", [sum(row["num_frames"] for row in some) for some in both]
    yield "minutes", [f"{sum(row['duration_s'] for row in some) / 60:.1f}" for some in both]
    yield "sources", [len({row["source_sha256"] for row in some}) for some in both]
    yield "identities", [len({(row["split_group"], n) for row in some for n in row["identities"]}) for some in both]
    yield "humans in clips", [sum(row["kinds"].count("human") for row in some) for some in both]
    yield "robots in clips", [sum(row["kinds"].count("robot") for row in some) for some in both]


def _identities(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many distinct people there are over all clips, and in how many clips each is."""
    clips = Counter((row["split_group"], name) for row in rows for name in set(row["identities"]))
    spread = Counter(clips.values())
    told = (
        f"{len(clips)} distinct. One name in several clips of a source is one person, in footage by masked appearance "
        "(`identity` and `identity_confidence` in the json member). People of different sources are not compared."
    )
    return "\n\n".join([told, _table(("clips a person is in", "identities"), sorted(spread.items()))])


def _by(rows: Sequence[Mapping[str, Any]], what: Any) -> list[tuple[Any, int, int]]:
    accepted = Counter(what(row) for row in rows if row["verdict"] == "accepted")
    review = Counter(what(row) for row in rows if row["verdict"] == "review")
    return [(name, accepted[name], review[name]) for name in sorted({*accepted, *review})]


def _length(duration_s: float) -> str:
    low = int(duration_s // 2) * 2
    return f"{low:02d} to {low + 2:02d}"


def _reasons(rejects: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    """Rejects by stage and kind of reason: figures differ from clip to clip, so they are left out of the kind."""
    kinds = Counter((row["stage"], pattern(row["reason"])) for row in rejects)
    return [(stage, reason, count) for (stage, reason), count in sorted(kinds.items(), key=lambda k: (-k[1], k[0]))]


def _review(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    kinds = Counter(kind for row in rows if row["verdict"] == "review" for kind in {pattern(r) for r in row["reasons"]})
    return sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))


def _yaml(text: str) -> str:
    return '"' + " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
