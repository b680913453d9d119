"""Train a captioner: ``python -m training.train --data FOLDER --output FOLDER``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from training.common import parallel
from training.common.cli import (
    add_also_argument,
    add_compute_arguments,
    add_data_arguments,
    check_no_effect,
    choose_device,
    run_command,
    whole_number,
)
from training.data.splits import read_more, read_named, read_splits
from training.data.texts import read_text
from training.packaging.archives import package_run
from training.packaging.label import add_label_arguments, check_no_label, read_label
from training.trainer.config import TrainConfig, add_config_arguments, config_from_arguments
from training.trainer.folder import BEST, Position
from training.trainer.phases import plan
from training.trainer.start import read_start
from training.trainer.trainer import Trainer

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.train``."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    add_data_arguments(parser)
    parser.add_argument("--output", type=Path, default=Path("runs/captioner"), help="run's folder")
    parser.add_argument(
        "--cache", type=Path, help="folder of cached features (default: data/features)"
    )
    parser.add_argument(
        "--archive",
        type=Path,
        metavar="MAR",
        help="when done, calibrate, export, score on the dev split and pack into this archive for "
        "TorchServe",
    )
    add_label_arguments(parser)
    add_compute_arguments(parser, device=None)
    parser.add_argument(
        "--init",
        type=Path,
        metavar="MAR",
        help="archive or checkpoint whose weights and words to start from; its preset is adapt, "
        "unless another is named",
    )
    parser.add_argument(
        "--text",
        type=Path,
        metavar="FILE",
        help="captions without pictures, one a line, to learn to speak of more things from",
    )
    add_also_argument(
        parser,
        "more pictures to train on, in a form that --data takes, such as those of training.borrow; "
        "all but its own dev and test pictures; may be repeated",
    )
    parser.add_argument(
        "--judge",
        type=Path,
        action="append",
        default=[],
        metavar="DATA",
        help="another captioned data set whose CIDEr counts as much as that of the dev split where "
        "the best weights are chosen; may be repeated",
    )
    parser.add_argument(
        "--workers",
        type=whole_number(0, 256),
        help="processes that read pictures while the encoder is trained (default: none on a CPU, "
        "up to 8 beside a GPU)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in --output, if there is one"
    )
    add_config_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_command(build_parser(), run, argv, prog)


def run(arguments: argparse.Namespace) -> int:
    """Train, and pack what was trained if asked to; returns the exit status."""
    # All that can be wrong with the options is found before the work begins.
    if arguments.archive:
        label = read_label(arguments, arguments.archive)
    else:
        check_no_label(arguments, "without --archive")
    start = read_start(arguments.init) if arguments.init else None
    if not start:
        check_no_effect(arguments, ["init_share"], "without --init")
    config = config_from_arguments(arguments, start.architecture if start else None)
    encoder_trained = [phase.encoder_stages > 0 for phase in plan(config)]
    if not any(encoder_trained):
        check_no_effect(arguments, ["workers"], "while the encoder is not trained")
    check_text(arguments, config)
    if all(encoder_trained):
        check_no_effect(arguments, ["cache"], "while the encoder is trained in every epoch")

    with parallel.process_group(choose_device(arguments.device)) as device:
        main_process = parallel.is_main()
        if not main_process:  # one process reports for all
            logging.getLogger().setLevel(logging.WARNING)
        strict, output = arguments.strict, arguments.output
        splits = read_splits(arguments.data, images=arguments.images, strict=strict)
        also = [read_more(path, splits, strict=strict) for path in arguments.also]
        workers = 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)
        trainer = Trainer(
            config,
            splits,
            output,
            arguments.cache or Path("data/features"),
            device=device,
            text=read_text(arguments.text) if arguments.text else [],
            also=also,
            judged=read_named(arguments.judge, "--judge", strict=strict),
            start=start,
            workers=workers if arguments.workers is None else arguments.workers,
            strict=strict,
        )
        position = trainer.fit(resume=arguments.resume)
    if main_process:
        report(position, output)
        if arguments.archive:
            package_run(output, splits, arguments.archive, label, device=device, strict=strict)
    return 0


def check_text(arguments: argparse.Namespace, config: TrainConfig) -> None:
    """Raise ``OptionError`` where captions without pictures, or their options, have no effect."""
    if not arguments.text:
        names = ["text_threshold", "text_batch", "text_weight"]
        check_no_effect(arguments, names, "without --text")
    if not config.tag_count:
        check_no_effect(arguments, ["text"], "on a decoder without --tags")
    if not (config.epochs or config.finetune_epochs or config.scst_epochs):
        check_no_effect(arguments, ["text", "also"], "without --epochs")


def report(position: Position, output: Path) -> None:
    """Log how good the run's captioner is and, if it had a start, what training made of it."""
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


if __name__ == "__main__":
    sys.exit(main())
