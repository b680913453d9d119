"""Train a captioner: ``python -m training.train --data FOLDER --output FOLDER``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from training import archive, evaluate, export
from training.archive import DEFAULT_DATA_NAME
from training.checkpoint import CheckpointError
from training.cli import DeviceError, choose_device
from training.config import add_config_arguments, config_from_arguments
from training.data import DataError, read_splits
from training.encoders import EncoderError
from training.optimisation import TrainingError
from training.progress import set_up_logging
from training.trainer import Trainer

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.train``."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder in Kaggle's Flickr8k layout, or a .csv or .jsonl file of (image, caption)",
    )
    parser.add_argument("--images", type=Path, help="folder of the pictures, if it is elsewhere")
    parser.add_argument("--output", type=Path, default=Path("runs/captioner"), help="run's folder")
    parser.add_argument(
        "--cache", type=Path, default=Path("data/features"), help="folder of cached features"
    )
    parser.add_argument(
        "--archive",
        type=Path,
        help="when done, export, score on the dev split and pack into this .mar for TorchServe",
    )
    parser.add_argument(
        "--data-name", default=DEFAULT_DATA_NAME, help="what the data is, for the model card"
    )
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: a GPU where there is one)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output")
    parser.add_argument(
        "--strict", action="store_true", help="stop on any fault of the data instead of warning"
    )
    add_config_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    set_up_logging()
    try:
        config = config_from_arguments(arguments)
    except ValueError as error:
        parser.error(str(error))
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        splits = read_splits(arguments.data, images=arguments.images, strict=arguments.strict)
        trainer = Trainer(
            config,
            splits,
            arguments.output,
            arguments.cache,
            device=choose_device(arguments.device),
            strict=arguments.strict,
        )
        position = trainer.fit(resume=arguments.resume)
    except (DataError, DeviceError, EncoderError, CheckpointError, TrainingError) as error:
        logger.error("error: %s", error)
        return 1
    logger.info(
        "Best dev CIDEr %.4f after %d epochs (%.0f s): %s",
        position.best,
        position.total_epochs,
        position.seconds,
        arguments.output / "best.pt",
    )
    return package(arguments) if arguments.archive else 0


def package(arguments: argparse.Namespace) -> int:
    """Export, score and archive the run that has ended; returns the exit status."""
    run = arguments.output
    data = ["--data", str(arguments.data)]
    if arguments.images:
        data += ["--images", str(arguments.images)]
    model = ["--model", str(run / "captioner.pt"), "--output", str(run / "scores.json")]
    name = ["--data-name", arguments.data_name, "--output", str(arguments.archive)]
    return (
        export.main(["--checkpoint", str(run / "best.pt")])
        or evaluate.main([*data, *model])
        or archive.main(["--run", str(run), *name])
    )


if __name__ == "__main__":
    sys.exit(main())
