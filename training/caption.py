"""Caption pictures from the command line: ``python -m training.caption photo.jpg folder``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from io import TextIOWrapper
from pathlib import Path
from typing import cast

from handler.engines import Search
from handler.options import MAX_BEAM_SIZE
from training.common.cli import (
    add_compute_arguments,
    add_model_arguments,
    check_no_effect,
    check_writable,
    choose_device,
    run_command,
    unwritable,
    whole_number,
)
from training.common.errors import OptionError, UserError
from training.common.progress import progress
from training.packaging.inference import Result, caption_pictures, load_model
from training.packaging.picture_files import (
    EXISTING,
    find_pictures,
    has_captions,
    sidecars,
    write_sidecars,
)
from training.packaging.writers import WRITERS

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.caption``."""
    parser = argparse.ArgumentParser(prog="python -m training.caption", description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+", help="pictures, or folders of them")
    add_model_arguments(parser)
    parser.add_argument(
        "--format",
        choices=[*WRITERS, "sidecar"],
        default="text",
        help="sidecar writes a .txt beside each picture",
    )
    parser.add_argument(
        "--existing",
        choices=EXISTING,
        help="what to do with sidecars that exist (default: skip)",
    )
    parser.add_argument("--output", type=Path, help="file to write (default: standard output)")
    parser.add_argument(
        "--num-captions", type=whole_number(1, MAX_BEAM_SIZE), default=1, help="1 to --beam-size"
    )
    add_compute_arguments(parser, device="cpu")
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; the exit status is 1 if any picture had no caption."""
    return run_command(build_parser(), run, argv, prog)


def run(arguments: argparse.Namespace) -> int:
    """Caption the pictures; the exit status is 1 if any had no caption."""
    _check(arguments)
    pictures, failed = find_pictures(arguments.paths), []
    if not pictures:
        logger.error("error: there is no picture to caption in %s", *arguments.paths[:1])
        return 1
    targets: dict[Path, Path] = {}
    if arguments.format == "sidecar":
        targets = sidecars(pictures)
        if arguments.existing in (None, "skip"):
            pictures = [picture for picture in pictures if not has_captions(targets[picture])]
            if not pictures:
                logger.info("Every picture has its captions already.")
                return 0
        refused = [Result(one, [], unwritable(targets[one])) for one in pictures]
        failed = [result.path for result in _report(refused, []) if result.error]
        pictures = [picture for picture in pictures if picture not in failed]
    model = load_model(arguments.model, choose_device(arguments.device))
    search = Search(arguments.beam_size, arguments.max_length, arguments.num_captions)
    results = progress(caption_pictures(pictures, model, search), "caption", len(pictures))
    _write(results, arguments, targets, failed)
    return 1 if failed else 0


def _check(arguments: argparse.Namespace) -> None:
    """Find what is wrong with the options before the model is loaded."""
    if arguments.format == "sidecar":
        check_no_effect(arguments, ["output"], "with --format sidecar")
    else:
        check_no_effect(arguments, ["existing"], "without --format sidecar")
    if arguments.num_captions > arguments.beam_size:
        raise OptionError(
            f"--num-captions can be at most --beam-size, but {arguments.num_captions} is more "
            f"than {arguments.beam_size}."
        )
    if arguments.output:
        check_writable(arguments.output, "--output")


def _write(
    results: Iterable[Result],
    arguments: argparse.Namespace,
    targets: dict[Path, Path],
    failed: list[Path],
) -> None:
    """Write the results where the options say; names without UTF-8 are escaped."""
    if arguments.format == "sidecar":
        for _ in _report(write_sidecars(results, targets, arguments.existing or "skip"), failed):
            pass
        return
    escaped = "backslashreplace"
    try:
        if arguments.output:
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            target = arguments.output.open("w", encoding="utf-8", newline="", errors=escaped)
        else:
            cast(TextIOWrapper, sys.stdout).reconfigure(errors=escaped)
            target = nullcontext(sys.stdout)
        with target as out:
            WRITERS[arguments.format](_report(results, failed), out)
    except OSError as error:
        where = arguments.output or "standard output"
        raise UserError(f"{where} cannot be written: {error.strerror}.") from error


def _report(results: Iterable[Result], failed: list[Path]) -> Iterable[Result]:
    """Pass results on; name those without a caption on standard error, and note them."""
    for result in results:
        if result.error:
            logger.error("%s: %s", result.path, result.error)
            failed.append(result.path)
        yield result


if __name__ == "__main__":
    sys.exit(main())
