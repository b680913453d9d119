"""Make a TorchServe archive of an exported run: ``python -m training.archive --run runs/x``.

The run's folder holds best.pt, captioner.pt and vocab.json (from ``training.export``), and the
scores.json of ``training.evaluate`` where there is one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.common.cli import SHIPPED, check_no_effect, run_command
from training.common.errors import UserError
from training.packaging.archives import archive_run, renew_folder, repack
from training.packaging.label import add_label_arguments, check_no_label, read_label
from training.pictures.files import find_pictures


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.archive``."""
    parser = argparse.ArgumentParser(prog="python -m training.archive", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, help="folder of the exported run")
    source.add_argument(
        "--repack",
        type=Path,
        metavar="MAR",
        help="archive to pack again with the code as it is now, or a folder: all in it that are "
        "older; the weights stay, and so does the old file, as .mar.old",
    )
    parser.add_argument(
        "--output", type=Path, help=f"default: {SHIPPED}, or the archive that is packed again"
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="with --repack: photos such as the model was trained on, to compute "
        "with integers, faster on most processors; without, it does so only if it did before",
    )
    add_label_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_command(build_parser(), run, argv, prog)


def run(arguments: argparse.Namespace) -> int:
    """Pack what the options name; returns the exit status."""
    if arguments.repack:
        check_no_label(arguments, "with --repack: the model keeps its own")
        pictures = find_pictures([arguments.pictures]) if arguments.pictures else []
        if arguments.repack.is_dir():
            if arguments.output:
                raise UserError("--output has no effect with a folder: its archives are renewed.")
            check_no_effect(arguments, ["pictures"], "with a folder: archives differ in theirs")
            renew_folder(arguments.repack)
        else:
            repack(arguments.repack, arguments.output or arguments.repack, pictures)
    else:
        check_no_effect(arguments, ["pictures"], "with --run: give them to training.export")
        output = arguments.output or SHIPPED
        archive_run(arguments.run, output, read_label(arguments, output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
