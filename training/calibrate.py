"""Fit a captioner's confidence: ``python -m training.calibrate --data DATA --checkpoint best.pt``.

A sample of the training pictures, beside drawn ones, teaches what a photo is; the captions of the
dev pictures, beside what people wrote, teach how much of a caption is confirmed. The result is
written into the checkpoint. Of an adopted model (``--archive``) only the latter is learnt, and
written into its archive.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.adoption.calibrating import calibrate_archive
from training.common.cli import (
    add_also_argument,
    add_compute_arguments,
    add_data_arguments,
    check_no_effect,
    choose_device,
    run_command,
)
from training.data.splits import read_all, read_splits
from training.packaging.calibration import calibrate_checkpoint
from training.pictures.files import find_pictures


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.calibrate``."""
    parser = argparse.ArgumentParser(prog="python -m training.calibrate", description=__doc__)
    add_data_arguments(parser)
    add_also_argument(parser, "another captioned data set, which counts as much as the dev split")
    parser.add_argument(
        "--unlabelled",
        type=Path,
        metavar="FOLDER",
        help="pictures of the rest of the world: the more a picture is like them, the more a "
        "caption insists on naming what its tags say",
    )
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--checkpoint", type=Path, help="best.pt of a run")
    model.add_argument("--archive", type=Path, metavar="MAR", help="archive of an adopted model")
    add_compute_arguments(parser, device=None)
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_command(build_parser(), run, argv, prog)


def run(arguments: argparse.Namespace) -> int:
    """Calibrate the checkpoint; returns the exit status."""
    strict, device = arguments.strict, choose_device(arguments.device)
    splits = read_splits(arguments.data, images=arguments.images, strict=strict)
    others = [example for data in arguments.also for example in read_all(data, strict=strict)]
    if arguments.archive:
        check_no_effect(arguments, ["unlabelled"], "with --archive")
        calibrate_archive(arguments.archive, [*splits["dev"], *others], device, strict=strict)
        return 0
    folder = arguments.unlabelled
    calibrate_checkpoint(
        arguments.checkpoint,
        splits,
        others,
        unlabelled=find_pictures([folder]) if folder else None,
        device=device,
        strict=strict,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
