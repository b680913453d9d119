"""Train a captioner: ``python -m training.train --data FOLDER --output FOLDER``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from training import archive, calibrate, evaluate, export
from training.common import parallel
from training.common.cli import DeviceError, add_data_arguments, choose_device, whole_number
from training.common.memory import keep_memory
from training.common.progress import set_up_logging
from training.data.splits import DataError, read_splits
from training.model.encoders import EncoderError
from training.packaging.archives import DEFAULT_DATA_NAME
from training.trainer.checkpoint import CheckpointError
from training.trainer.config import TrainConfig, add_config_arguments, config_from_arguments
from training.trainer.folder import BEST
from training.trainer.optimisation import TrainingError
from training.trainer.start import Start, read_start
from training.trainer.trainer import Position, Trainer

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.train``."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    add_data_arguments(parser)
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
    parser.add_argument(
        "--init",
        type=Path,
        metavar="MAR",
        help="archive or checkpoint whose weights and words to start from; its preset is adapt, "
        "unless another is named",
    )
    parser.add_argument(
        "--workers",
        type=whole_number(0, 256),
        help="processes that read pictures while the encoder is trained (default: none on a CPU, "
        "up to 8 beside a GPU)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --output, if there is one"
    )
    add_config_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    set_up_logging()
    keep_memory()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        start = read_start(arguments.init) if arguments.init else None
        config = config_from_arguments(arguments, start.architecture if start else None)
    except CheckpointError as error:
        logger.error("error: %s", error)
        return 1
    except ValueError as error:
        parser.error(str(error))
    try:
        with parallel.process_group(choose_device(arguments.device)) as device:
            main_process = parallel.is_main()
            position = train(arguments, config, start, device)
    except (DataError, DeviceError, EncoderError, CheckpointError, TrainingError) as error:
        logger.error("error: %s", error)
        return 1
    if not main_process:
        return 0
    tell(position, arguments.output)
    return package(arguments) if arguments.archive else 0


def train(
    arguments: argparse.Namespace, config: TrainConfig, start: Start | None, device: torch.device
) -> Position:
    """Train as ``config`` says; returns where the run ended."""
    if not parallel.is_main():  # one process tells enough
        logging.getLogger().setLevel(logging.WARNING)
    splits = read_splits(arguments.data, images=arguments.images, strict=arguments.strict)
    workers = 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)
    trainer = Trainer(
        config,
        splits,
        arguments.output,
        arguments.cache,
        device=device,
        start=start,
        workers=workers if arguments.workers is None else arguments.workers,
        strict=arguments.strict,
    )
    return trainer.fit(resume=arguments.resume)


def tell(position: Position, output: Path) -> None:
    """Say how good the run's captioner is and, if it had a start, what training made of it."""
    logger.info(
        "Best dev CIDEr %.4f after %d epochs (%.0f s): %s",
        position.best,
        position.total_epochs,
        position.seconds,
        output / BEST,
    )
    if position.before is not None:
        logger.info(
            "On the held-out dev pictures, CIDEr went from %.4f to %.4f.",
            position.before,
            position.best,
        )


def package(arguments: argparse.Namespace) -> int:
    """Calibrate, export, score and archive the run that has ended; returns the exit status."""
    run = arguments.output
    data = ["--data", str(arguments.data)]
    if arguments.images:
        data += ["--images", str(arguments.images)]
    device = ["--device", arguments.device] if arguments.device else []
    model = ["--model", str(run / "captioner.pt"), "--output", str(run / "scores.json")]
    name = ["--data-name", arguments.data_name, "--output", str(arguments.archive)]
    return (
        calibrate.main([*data, *device, "--checkpoint", str(run / "best.pt")])
        or export.main(["--checkpoint", str(run / "best.pt")])
        or evaluate.main([*data, *model])
        or archive.main(["--run", str(run), *name])
    )


if __name__ == "__main__":
    sys.exit(main())
