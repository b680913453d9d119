"""Adopt a published captioner: ``python -m training.adopt Salesforce/blip-image-captioning-base``.

Its answers are compared with those of ``transformers``, and only where they are the same is an
archive written, which is served like one of our own.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from training.adoption.adopting import adopt
from training.adoption.hub import Source, download
from training.adoption.precision import PRECISIONS
from training.common.cli import add_threads_argument, run_command
from training.common.errors import OptionError
from training.packaging.label import add_label_arguments, read_label

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """The command line of ``training.adopt``."""
    parser = argparse.ArgumentParser(prog="python -m training.adopt", description=__doc__)
    parser.add_argument("model", nargs="?", help="name on the hub, OWNER/NAME")
    parser.add_argument(
        "--from", dest="folder", type=Path, metavar="FOLDER", help="folder of the model instead"
    )
    parser.add_argument("--revision", help="branch, tag or commit on the hub (default: main)")
    parser.add_argument("--archive", type=Path, required=True, metavar="MAR", help="what to write")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="of computing on a CPU (default: %(default)s); the others change some captions. On a "
        "GPU it is half precision",
    )
    parser.add_argument("--licence", help="for the card, of a model from a folder")
    add_label_arguments(parser)
    add_threads_argument(parser)
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_command(build_parser(), run, argv, prog)


def run(arguments: argparse.Namespace) -> int:
    """Adopt the model that the options name; returns the exit status."""
    if (arguments.model is None) == (arguments.folder is None):
        raise OptionError("Either a model of the hub or --from FOLDER is expected.")
    label = read_label(arguments, arguments.archive)
    if arguments.folder is None:
        folder, source = download(arguments.model, arguments.revision)
    else:
        if arguments.revision:
            raise OptionError("--revision has no effect with --from. Leave it out.")
        folder = arguments.folder
        stated = {"licence": arguments.licence} if arguments.licence else {}
        source = Source(folder.resolve().name, **stated)
    logger.info("%s, revision %s; licence: %s", source.name, source.revision, source.licence)
    adopt(folder, arguments.archive, label, source, arguments.precision)
    return 0


if __name__ == "__main__":
    sys.exit(main())
