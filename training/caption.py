"""Caption pictures from the command line: ``captionize photo.jpg folder``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import cast

from handler.options import CHOICES, MAX_BEAM_SIZE, Options
from training.common.cli import (
    SHIPPED,
    add_compute_arguments,
    add_model_arguments,
    check_no_effect,
    check_writable,
    choose_device,
    run_command,
    whole_number,
)
from training.common.errors import OptionError, UserError
from training.common.progress import progress
from training.pictures import remote
from training.pictures.beside import EXISTING, Sidecars
from training.pictures.copies import Copies
from training.pictures.files import find_pictures
from training.pictures.results import TRUST, Result, Tally, trusted
from training.pictures.watching import arrivals
from training.pictures.writers import WRITERS

Captioner = Callable[[Sequence[Path]], Iterator[Result]]

EXIT_STATUS = """\
exit status: 0: every picture has its caption, or was skipped; 1: some could not be
captioned or written, each named; 2: an option is wrong; 130: interrupted"""
INTERRUPTED = 130
COPIES = "captioned"

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.caption``."""
    parser = argparse.ArgumentParser(
        prog="python -m training.caption",
        description=__doc__,
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", type=Path, nargs="+", help="pictures, or folders of them")
    parser.add_argument(
        "--format",
        choices=[*WRITERS, "sidecar", "embed"],
        default="text",
        help="sidecar writes a .txt beside each picture, embed a copy with the caption in it "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--existing",
        choices=EXISTING,
        help="what to do with sidecars or copies that exist (default: skip)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="file to write; with --format embed, folder of the copies (default: standard output; "
        f"the folder {COPIES})",
    )
    parser.add_argument(
        "--in-place",
        action="store_true",
        default=None,
        help="with --format embed, change the pictures themselves (default: copy them)",
    )
    parser.add_argument(
        "--min-trust",
        choices=list(TRUST),
        default="unknown",
        help="skip what is trusted less: right (looks right), check (may well be wrong) or "
        "unknown (the picture is like none that the model knows) (default: %(default)s)",
    )
    parser.add_argument(
        "--watch", action="store_true", help="go on with pictures that come later, until Ctrl-C"
    )
    parser.add_argument(
        "--server",
        metavar="URL",
        help="have a running Captionize caption, such as http://127.0.0.1:8000 (default: caption "
        "here)",
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--num-captions",
        type=whole_number(1, MAX_BEAM_SIZE),
        default=1,
        help="1 to --beam-size (default: %(default)s)",
    )
    for name, text in (
        ("people", "neutral: person and child where the model guesses a gender"),
        ("alternatives", "different: captions after the first that say other things"),
    ):
        parser.add_argument(
            f"--{name}",
            choices=CHOICES[name],
            default=CHOICES[name][0],
            help=f"{text} (default: %(default)s)",
        )
    add_compute_arguments(parser, device="cpu")
    parser.set_defaults(model=None, device=None)  # so that giving them can be told
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_command(build_parser(), run, argv, prog)


def run(arguments: argparse.Namespace) -> int:
    """Caption the pictures; returns the exit status."""
    _check(arguments)
    batches: Iterator[list[Path]]
    if arguments.watch:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        batches = arrivals(arguments.paths)
    elif pictures := find_pictures(arguments.paths):
        batches = iter([pictures])
    else:
        logger.error("error: there is no picture to caption in %s", *arguments.paths[:1])
        return 1
    tally = Tally()
    interrupted = False
    try:
        _write(batches, arguments, tally)
    except KeyboardInterrupt:
        interrupted = not arguments.watch
    logger.info(tally.closing())
    return INTERRUPTED if interrupted else int(tally.failed)


def _check(arguments: argparse.Namespace) -> None:
    """Find what is wrong with the options before the model is loaded."""
    if arguments.format == "sidecar":
        check_no_effect(arguments, ["output"], "with --format sidecar")
    elif arguments.format != "embed":
        check_no_effect(arguments, ["existing"], "without --format sidecar or embed")
    elif arguments.existing == "append":
        raise OptionError("--existing append is for sidecars: a picture has one caption.")
    if arguments.format != "embed":
        check_no_effect(arguments, ["in_place"], "without --format embed")
    elif arguments.in_place:
        check_no_effect(arguments, ["output"], "with --in-place")
    if arguments.server:
        check_no_effect(arguments, ["model", "device", "threads"], "with --server")
        if not arguments.server.startswith(("http://", "https://")):
            raise OptionError(
                f"--server must be an address such as http://127.0.0.1:8000, but is "
                f"{arguments.server!r}."
            )
    if arguments.num_captions > arguments.beam_size:
        raise OptionError(
            f"--num-captions can be at most --beam-size, but {arguments.num_captions} is more "
            f"than {arguments.beam_size}."
        )
    if arguments.output and arguments.format != "embed":
        check_writable(arguments.output, "--output")


def _write(batches: Iterator[list[Path]], arguments: argparse.Namespace, tally: Tally) -> None:
    """Caption and write where the options say; names without UTF-8 are escaped."""
    existing = arguments.existing or "skip"
    files: Sidecars | Copies | None = None
    if arguments.format == "sidecar":
        files = Sidecars(existing)
    elif arguments.format == "embed":
        folder = None if arguments.in_place else arguments.output or Path(COPIES)
        files = Copies(existing, folder, arguments.paths)
    if files:
        for result in _results(batches, arguments, tally, files):
            if arguments.watch and result.captions:
                logger.info("%s: %s", result.path, result.captions[0].text)
        return
    escaped = "backslashreplace"
    # A spreadsheet takes a file for UTF-8 by this mark; programs that read from a pipe know.
    encoding = "utf-8-sig" if arguments.format == "csv" else "utf-8"
    try:
        if arguments.output:
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            target = arguments.output.open("w", encoding=encoding, newline="", errors=escaped)
        else:
            cast(TextIOWrapper, sys.stdout).reconfigure(errors=escaped)
            target = nullcontext(sys.stdout)
        with target as out:
            WRITERS[arguments.format](_results(batches, arguments, tally), out)
    except OSError as error:
        where = arguments.output or "standard output"
        raise UserError(f"{where} cannot be written: {error.strerror}.") from error


def _results(
    batches: Iterable[list[Path]],
    arguments: argparse.Namespace,
    tally: Tally,
    files: Sidecars | Copies | None = None,
) -> Iterator[Result]:
    """Caption one batch after the other; pictures without a caption are named and counted."""
    captioner: Captioner | None = None
    for number, pictures in enumerate(batches):
        refused: list[Result] = []
        todo = pictures
        if files:
            todo, refused = files.select(pictures)
            tally.skip(len(pictures) - len(todo) - len(refused))
        results: Iterable[Result] = refused
        if todo:
            captioner = captioner or _captioner(arguments)
            found = captioner(todo)
            found = found if number else progress(found, "caption", len(todo))
            found = trusted(found, arguments.min_trust)
            results = chain(refused, files.write(found) if files else found)
        yield from tally.count(_named(results))


def _captioner(arguments: argparse.Namespace) -> Captioner:
    """What captions: a service, or a model that is loaded here."""
    names = ("beam_size", "num_captions", "max_length", *CHOICES)
    options = {name: getattr(arguments, name) for name in names}
    if arguments.server:
        return lambda paths: remote.caption_pictures(paths, arguments.server, options)
    # Here, because importing PyTorch takes seconds that a service's client need not wait.
    from handler.engines import Search
    from training.packaging.inference import caption_pictures, load_model

    model = load_model(arguments.model or SHIPPED, choose_device(arguments.device or "cpu"))
    told = Options(**options)
    search = Search(told.width, told.max_length, told.wanted)
    return lambda paths: caption_pictures(paths, model, search, told)


def _named(results: Iterable[Result]) -> Iterator[Result]:
    """Pass results on; name those without a caption on standard error."""
    for result in results:
        if result.error:
            logger.error("%s: %s", result.path, result.error)
        elif not result.captions:
            logger.info("%s: skipped, as its caption is not trusted enough", result.path)
        yield result


if __name__ == "__main__":
    sys.exit(main())
