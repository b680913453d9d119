"""Caption pictures from the command line: ``python -m training.caption photo.jpg folder``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from handler.engines import Search
from handler.options import MAX_BEAM_SIZE
from training.common.cli import (
    add_compute_arguments,
    add_model_arguments,
    check_no_effect,
    choose_device,
    run_command,
    whole_number,
)
from training.common.errors import OptionError
from training.common.progress import progress
from training.packaging.inference import Result, caption_pictures, load_model
from training.packaging.writers import EXISTING, WRITERS, find_pictures, sidecar, write_sidecars

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
    sidecars = arguments.format == "sidecar"
    if sidecars:
        check_no_effect(arguments, ["output"], "with --format sidecar")
    else:
        check_no_effect(arguments, ["existing"], "without --format sidecar")
    if arguments.num_captions > arguments.beam_size:
        raise OptionError(
            f"--num-captions can be at most --beam-size, but {arguments.num_captions} is more "
            f"than {arguments.beam_size}."
        )
    existing = arguments.existing or "skip"
    pictures = find_pictures(arguments.paths)
    if not pictures:
        logger.error("error: there is no picture to caption in %s", *arguments.paths[:1])
        return 1
    if sidecars and existing == "skip":
        pictures = [picture for picture in pictures if not sidecar(picture).exists()]
        if not pictures:
            logger.info("Every picture has its captions already.")
            return 0
    model = load_model(arguments.model, choose_device(arguments.device))
    search = Search(arguments.beam_size, arguments.max_length, arguments.num_captions)
    failed: list[Path] = []
    results = progress(caption_pictures(pictures, model, search), "caption", len(pictures))
    reported = _report(results, failed)
    if sidecars:
        write_sidecars(reported, existing)
    else:
        target = nullcontext(sys.stdout)
        if arguments.output:
            target = arguments.output.open("w", encoding="utf-8", newline="")
        with target as out:
            WRITERS[arguments.format](reported, out)
    return 1 if failed else 0


def _report(results: Iterable[Result], failed: list[Path]) -> Iterable[Result]:
    """Pass results on; name those without a caption on standard error, and note them."""
    for result in results:
        if result.error:
            logger.error("%s: %s", result.path, result.error)
            failed.append(result.path)
        yield result


if __name__ == "__main__":
    sys.exit(main())
