"""What is in review, and what a person says of it: the next build heeds every word."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

from datasets.corrections import (
    Correction,
    CorrectionsError,
    append_correction,
    file_in,
    read_corrections,
    standing,
)
from datasets.plain import to_plain
from datasets.records import Kind
from datasets.remote import AddressError, check_address, is_address
from flows.errors import UsageError
from flows.review_list import listing, listing_text
from flows.review_say import say, undo
from tasks.ops.corrections import phrase

OK, RED, USAGE = 0, 1, 2
EXAMPLES = """examples:
  python -m flows.review out/mine                                  what is in review, why, where to look
  python -m flows.review out/mine --json
  python -m flows.review out/mine accept duet-1a2b3c4d-00000000         who is who is right
  python -m flows.review out/mine reject duet-1a2b3c4d-00000000
  python -m flows.review out/mine swap duet-1a2b3c4d-00000000 1 2 --from 93           from frame 93 on 1 is 2, 2 is 1
  python -m flows.review out/mine swap duet-1a2b3c4d-00000000 1 2 --from 93 --to 120  up to and without frame 120
  python -m flows.review out/mine drop duet-1a2b3c4d-00000000 3         not one of the people
  python -m flows.review out/mine kind duet-1a2b3c4d-00000000 2 robot
  python -m flows.review out/mine undo duet-1a2b3c4d-00000000           take back the last word on a clip
  python -m flows.review out/mine undo --last                           take back the last word of all

People are counted from 1, as in the report; frames from 0. Words are added to OUT/corrections.jsonl; the same build
command as before heeds them, and computes again only what they change.
exit code: 0; 2 for a word that cannot be said; 1 when the file cannot be written.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Gives the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        print(_command(arguments))
    except (UsageError, CorrectionsError, AddressError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except OSError as error:
        logging.getLogger("duetflow").debug("review", exc_info=True)
        print(f"error: {error.filename}: {error.strerror}; no word was added", file=sys.stderr)
        return RED
    return OK


def _command(arguments: argparse.Namespace) -> str:
    if is_address(arguments.out):
        check_address(arguments.out, "OUT")
    file = arguments.corrections or file_in(arguments.out)
    if arguments.word is None:
        found = listing(arguments.out, read_corrections(file), arguments.corrections)
        return json.dumps(found, indent=1) if arguments.json else listing_text(found)
    if not is_address(arguments.out) and not Path(arguments.out).is_dir():
        raise UsageError(f"OUT {arguments.out}: want a dataset's folder, got no such folder; check the path")
    word = append_correction(file, lambda words: _say(arguments, words))
    if arguments.json:
        return json.dumps(to_plain(word))
    named = f" --corrections {arguments.corrections}" if arguments.corrections else ""
    words = read_corrections(file)
    line = 1 + [one.id for one in words].index(word.id)  # not nth: a takedown may have taken lines out above it
    return f"{_said(word, words)}: line {line} of {file}. The next build with --out {arguments.out}{named} heeds it"


def _say(arguments: argparse.Namespace, words: tuple[Correction, ...]) -> Correction:
    return undo(arguments, words) if arguments.word == "undo" else say(arguments, standing(words))


def _said(word: Correction, words: Sequence[Correction]) -> str:
    back = next((f" of {phrase(one)}" for one in words if one.id == word.undoes), "")
    return f"{word.key}: {phrase(word)}{back}"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m flows.review",
        description="List the clips in review, or say what is so: the next build heeds it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("out", metavar="OUT", help="the dataset's folder")
    _common(parser, default=None)
    words = parser.add_subparsers(dest="word", metavar="WORD", parser_class=_Parser)
    _word(words, "accept", "everyone keeps who they are: into the shards")
    _word(words, "reject", "leave the clip out")
    swap = _word(words, "swap", "two people are exchanged from a frame on")
    for name in ("A", "B"):  # one at a time: argparse cannot name two of one argument when they are missing
        swap.add_argument("people", type=int, action="append", metavar=name, help="number of a person, from 1")
    swap.add_argument("--from", dest="start", type=int, required=True, metavar="FRAME", help="the first frame, from 0")
    swap.add_argument("--to", dest="stop", type=int, metavar="FRAME", help="one past the last (default: the end)")
    drop = _word(words, "drop", "a person is not one of the people: take them out")
    drop.add_argument("people", type=int, nargs=1, metavar="PERSON", help="number of the person, from 1")
    kind = _word(words, "kind", "what a person is")
    kind.add_argument("people", type=int, nargs=1, metavar="PERSON", help="number of the person, from 1")
    kind.add_argument("kind", choices=get_args(Kind))
    back = words.add_parser("undo", help="take back the last word on a clip, or of all", allow_abbrev=False)
    back.add_argument("key", metavar="KEY", nargs="?", help="the clip")
    back.add_argument("--last", action="store_true", help="the last word on any clip")
    _common(back)
    return parser


def _word(words: Any, name: str, about: str) -> argparse.ArgumentParser:
    parser = words.add_parser(name, help=about, description=f"{name}: {about}", allow_abbrev=False)
    parser.add_argument("key", metavar="KEY", help="the clip's key, as the report and the list have it")
    _common(parser)
    return parser


def _common(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    """Options that may stand before the word or after it."""
    add = parser.add_argument
    add("--corrections", metavar="FILE", default=default, help="the file of words (default: OUT/corrections.jsonl)")
    add("--who", metavar="NAME", default=default, help="who says it")
    add("--note", metavar="TEXT", default=default, help="why, for people")
    json_default = False if default is None else default
    add("--json", action="store_true", default=json_default, help="print one JSON object")


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are one line and exit code 2, like all other usage errors here."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is."""
        self.exit(USAGE, f"error: {message}; {self.prog} --help lists the words\n")


if __name__ == "__main__":
    sys.exit(main())
