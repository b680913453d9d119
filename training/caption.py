"""Caption pictures from the command line: ``python -m training.caption photo.jpg folder``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from handler.options import MAX_BEAM_SIZE, MAX_LENGTH
from training.common.cli import DeviceError, choose_device, whole_number
from training.common.memory import keep_memory
from training.common.progress import progress, set_up_logging
from training.packaging.inference import ModelError, Result, inference, load_model
from training.packaging.writers import EXISTING, WRITERS, find_pictures, sidecar, write_sidecars
from training.trainer.checkpoint import CheckpointError

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.caption``."""
    parser = argparse.ArgumentParser(prog="python -m training.caption", description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+", help="pictures, or folders of them")
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("model_store/captioner.mar"),
        help="archive, exported captioner.pt or checkpoint (default: the shipped archive)",
    )
    parser.add_argument(
        "--format",
        choices=[*WRITERS, "sidecar"],
        default="text",
        help="sidecar writes a .txt beside each picture",
    )
    parser.add_argument(
        "--existing", choices=EXISTING, default="skip", help="what to do with sidecars that exist"
    )
    parser.add_argument("--output", type=Path, help="file to write (default: standard output)")
    parser.add_argument(
        "--beam-size", type=whole_number(1, MAX_BEAM_SIZE), default=3, help=f"1 to {MAX_BEAM_SIZE}"
    )
    parser.add_argument(
        "--num-captions", type=whole_number(1, MAX_BEAM_SIZE), default=1, help="1 to --beam-size"
    )
    parser.add_argument(
        "--max-length",
        type=whole_number(1, MAX_LENGTH),
        default=20,
        help=f"words, 1 to {MAX_LENGTH}",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 1 if any picture had no caption."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    set_up_logging()
    keep_memory()
    if arguments.num_captions > arguments.beam_size:
        parser.error(
            f"--num-captions can be at most --beam-size, but {arguments.num_captions} is more "
            f"than {arguments.beam_size}."
        )
    pictures = find_pictures(arguments.paths)
    if not pictures:
        logger.error("error: there is no picture to caption in %s", *arguments.paths[:1])
        return 1
    if arguments.format == "sidecar" and arguments.existing == "skip":
        pictures = [picture for picture in pictures if not sidecar(picture).exists()]
        if not pictures:
            logger.info("Every picture has its captions already.")
            return 0
    try:
        model = load_model(arguments.model, device=choose_device(arguments.device))
    except (DeviceError, ModelError, CheckpointError) as error:
        logger.error("error: %s", error)
        return 1
    failed: list[Path] = []
    results = inference(
        pictures,
        model,
        beam_size=arguments.beam_size,
        num_captions=arguments.num_captions,
        max_length=arguments.max_length,
    )
    shown = _report(progress(results, "caption", len(pictures)), failed)
    if arguments.format == "sidecar":
        write_sidecars(shown, arguments.existing)
    else:
        target = nullcontext(sys.stdout)
        if arguments.output:
            target = arguments.output.open("w", encoding="utf-8", newline="")
        with target as out:
            WRITERS[arguments.format](shown, out)
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
