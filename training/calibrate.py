"""Fit a captioner's confidence: ``python -m training.calibrate --data DATA --checkpoint best.pt``.

A sample of the training pictures, beside drawn ones, teaches what a photo is; the captions of the
dev pictures, beside what people said, teach how much of a caption is confirmed. The result is
written into the checkpoint.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from training.common.cli import DeviceError, add_data_arguments, choose_device
from training.common.memory import keep_memory
from training.common.progress import set_up_logging
from training.data.splits import DataError, read_splits
from training.packaging.calibration import calibrate_checkpoint
from training.trainer.checkpoint import CheckpointError

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.calibrate``."""
    parser = argparse.ArgumentParser(prog="python -m training.calibrate", description=__doc__)
    add_data_arguments(parser)
    parser.add_argument("--checkpoint", type=Path, required=True, help="best.pt of a run")
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: a GPU where there is one)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    set_up_logging()
    keep_memory()
    try:
        report = calibrate_checkpoint(
            arguments.checkpoint,
            read_splits(arguments.data, images=arguments.images, strict=arguments.strict),
            device=choose_device(arguments.device),
            strict=arguments.strict,
        )
    except (DataError, DeviceError, CheckpointError) as error:
        logger.error("error: %s", error)
        return 1
    logger.info(
        "Confidence is off by %.4f (expected calibration error, cross-fitted on %d dev pictures); "
        "%.1f %% of the captions' content words are confirmed.",
        report["error_cross_fitted"],
        report["pictures"],
        100 * report["words_confirmed"],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
