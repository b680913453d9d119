"""Captions for pictures without any: ``python -m training.borrow --checkpoint best.pt …``.

For each picture, those of the captions in a text file that suit it best: they name what its tags
say, and the captioner finds them likely. The result is a JSON Lines file that ``training.train``
takes with ``--also``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from training.common.cli import check_writable, run_command
from training.common.errors import OptionError
from training.data.batches import drop_unreadable
from training.data.splits import DataError, Example
from training.data.texts import read_text
from training.packaging.borrowing import borrow
from training.pictures.files import find_pictures
from training.trainer import checkpoint


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.borrow``."""
    parser = argparse.ArgumentParser(prog="python -m training.borrow", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="of a captioner with tags")
    parser.add_argument("--text", type=Path, required=True, help="captions, one a line")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--output", type=Path, required=True, help="JSON Lines file to write")
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_command(build_parser(), run, argv, prog)


def run(arguments: argparse.Namespace) -> int:
    """Borrow captions and write them; returns the exit status."""
    check_writable(arguments.output, "--output")
    trained = checkpoint.load(arguments.checkpoint)
    if not trained.captioner.tagger.count:
        raise OptionError(f"--checkpoint must have tags, but {arguments.checkpoint} has none.")
    captions = read_text(arguments.text)
    found = [Example(path, (), str(path)) for path in find_pictures([arguments.pictures])]
    pictures = drop_unreadable(found, trained.captioner.image_size)
    if not pictures:
        raise DataError(f"--pictures must hold pictures, but {arguments.pictures} holds none.")
    with arguments.output.open("w", encoding="utf-8") as file:
        for path, borrowed in borrow(trained, captions, [one.path for one in pictures]):
            row = {"image": str(path.resolve()), "captions": borrowed}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
