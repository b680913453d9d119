"""Caption pictures by the million, with Ray: ``captionize batch album/ captions/``.

What is written is not captioned again: the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from hashlib import file_digest
from itertools import repeat
from pathlib import Path
from typing import Any

from handler.options import CHOICES, MAX_BEAM_SIZE, Options
from training.batch_inference import FORMATS
from training.common.cli import add_model_arguments, run_command, whole_number
from training.common.errors import OptionError, UserError
from training.common.progress import progress

EXIT_STATUS = """\
exit status: 0: every picture has its caption; 1: some could not be captioned, each with the
reason in its row, or the job stopped; 2: an option is wrong; 130: interrupted"""
INTERRUPTED = 130

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.batch``."""
    parser = argparse.ArgumentParser(
        prog="python -m training.batch",
        description=__doc__,
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "input",
        help="folder, pattern with * or **, or .parquet, .csv or .jsonl list of pictures; a path "
        "or a URL such as s3://bucket/album",
    )
    parser.add_argument("output", help="folder of the captions, a path or a URL")
    parser.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help="(default: %(default)s)"
    )
    parser.add_argument(
        "--column", help="of a list: what names the pictures (default: path, url, uri, image, file)"
    )
    parser.add_argument(
        "--partition",
        type=whole_number(1, 100_000),
        default=512,
        metavar="PICTURES",
        help="in a file of captions; what a kill may cost each worker (default: %(default)s)",
    )
    parser.add_argument(
        "--address", help="of a Ray cluster, or auto (default: this machine by itself)"
    )
    parser.add_argument(
        "--workers",
        type=whole_number(1, 100_000),
        help="captioners at once (default: as many as there is room for)",
    )
    parser.add_argument(
        "--threads",
        type=whole_number(1, 1024),
        default=1,
        help="cores of each worker (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        choices=["cpu", "cuda"],
        default="cpu",
        help="cuda: a GPU for each worker (default: %(default)s)",
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--num-captions",
        type=whole_number(1, MAX_BEAM_SIZE),
        default=1,
        help="1 to --beam-size; those after the first are its alternatives (default: %(default)s)",
    )
    for name, accepted in CHOICES.items():
        parser.add_argument(
            f"--{name}",
            choices=accepted,
            default=accepted[0],
            help="as in captionize caption (default: %(default)s)",
        )
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_command(build_parser(), run, argv, prog)


def run(arguments: argparse.Namespace) -> int:
    """Caption what is not captioned yet; returns the exit status."""
    if arguments.num_captions > arguments.beam_size:
        raise OptionError(
            f"--num-captions can be at most --beam-size, but {arguments.num_captions} is more "
            f"than {arguments.beam_size}."
        )
    # Here, so that --help needs none of them: pyarrow and Ray come with the extra.
    from training.batch_inference import cluster, inputs
    from training.batch_inference.captioning import Job
    from training.batch_inference.files import normal
    from training.batch_inference.partitions import Partitions

    named = ("beam_size", "num_captions", "max_length", *CHOICES)
    options = {name: getattr(arguments, name) for name in named}
    model = arguments.model.absolute()
    pictures = inputs.find(arguments.input, arguments.column)
    if not pictures:
        raise UserError(f"There is no picture to caption in {arguments.input}.")
    partitions = Partitions(arguments.output, arguments.format)
    before = partitions.begin({"model": _digest(model), **options})
    todo = [picture for picture in pictures if picture not in before]
    # A file's pictures go on belonging together: in what remains of the same pictures, cut in the
    # same way, the groups are those of before, and so are their files' names.
    size = arguments.partition
    groups = [todo[start : start + size] for start in range(0, len(todo), size)]
    job = Job(
        str(model),
        arguments.device,
        arguments.threads,
        Options(**options),
        normal(arguments.output),
        arguments.format,
    )
    logger.info(
        "%d pictures, %d of them captioned before", len(pictures), len(pictures) - len(todo)
    )
    captioned = failed = 0
    if groups:
        try:
            with cluster.joined(arguments.address):
                results = cluster.spread(groups, job, arguments.workers)
                for result in _shown(results, len(todo)):
                    captioned += result["pictures"] - result["failed"]
                    failed += result["failed"]
        except KeyboardInterrupt:
            logger.info("%d captioned, %d failed; the same command goes on", captioned, failed)
            return INTERRUPTED
    logger.info("%d captioned, %d failed", captioned, failed)
    return int(failed > 0)


def _digest(model: Path) -> str:
    """By which a job tells its model from another one."""
    if not model.is_file():
        raise UserError(f"There is no model {model}.")
    with model.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _shown(results: Iterable[dict[str, Any]], total: int) -> Iterator[dict[str, Any]]:
    """Pass on what came of each group, and show how many pictures that makes."""
    pictures = (one for result in results for one in _ticks(result))
    for result in progress(pictures, "caption", total):
        if result:
            yield result


def _ticks(result: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
    """Once for each picture of a group, with what came of the group at the first."""
    yield result
    yield from repeat(None, result["pictures"] - 1)


if __name__ == "__main__":
    sys.exit(main())
