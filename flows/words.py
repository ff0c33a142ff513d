"""A person's words -> the items that they are said of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from datasets.corrections import Correction, CorrectionsError, file_in, read_corrections, standing
from datasets.remote import is_address, stat
from flows.errors import UsageError
from tasks.batch import Batch


def words_of(out: str, file: str | None) -> tuple[Correction, ...]:
    """The words that stand, of the file named or the one in OUT. Raises UsageError for a file that cannot be read."""
    if file is not None and not (stat(file) if is_address(file) else Path(file).is_file()):
        raise UsageError(f"--corrections {file}: want a file that flows.review wrote, got no such file")
    try:
        return standing(read_corrections(file or file_in(out)))
    except CorrectionsError as error:
        raise UsageError(str(error)) from error


def with_words(batch: Batch, corrections: Sequence[Correction]) -> Batch:
    """The batch with each item's words on it, by key, in the order in which they were said.

    That the words are of the same cut of the same footage is for the stages to hold: they know the clip.
    """
    said: dict[str, list[Correction]] = defaultdict(list)
    for word in corrections:
        said[word.key].append(word)
    items = tuple(replace(item, words=tuple(said[item.key])) if item.key in said else item for item in batch.items)
    return replace(batch, items=items)
