"""What the commands share: their options, the choice of a device, and how they start and end."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from basics import home
from handler.options import MAX_BEAM_SIZE, MAX_LENGTH, Options
from training.common.errors import OptionError, UserError
from training.common.memory import keep_memory
from training.common.progress import set_up_logging

if TYPE_CHECKING:
    import torch

SHIPPED = home.shipped()

logger = logging.getLogger(__name__)


class DeviceError(UserError):
    """The device that was asked for does not exist."""


def run_command(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None,
    prog: str | None,
) -> int:
    """Run a command on its options; returns the exit status.

    ``prog`` is how the command was called, where that is not the parser's own way.

    This is the one place in which a command sets the number of PyTorch's threads, which ONNX
    Runtime follows.
    """
    parser.prog = prog or parser.prog
    arguments = parser.parse_args(argv)
    set_up_logging()
    keep_memory()
    if getattr(arguments, "threads", None):
        import torch  # here, as some commands do without it

        torch.set_num_threads(arguments.threads)
    try:
        return run(arguments)
    except OptionError as error:
        parser.error(str(error))
    except UserError as error:
        logger.error("error: %s", error)
        return 1


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the options that name a data set: what ``read_splits`` takes."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder in Kaggle's Flickr8k layout, or a .csv or .jsonl file of (image, caption)",
    )
    parser.add_argument("--images", type=Path, help="folder of the pictures, if it is elsewhere")
    parser.add_argument(
        "--strict", action="store_true", help="stop on any fault of the data instead of warning"
    )


def add_also_argument(parser: argparse.ArgumentParser, text: str) -> None:
    """Give ``parser`` ``--also``, more data sets of the kinds that ``--data`` takes."""
    parser.add_argument("--also", type=Path, action="append", default=[], metavar="DATA", help=text)


def add_compute_arguments(parser: argparse.ArgumentParser, device: str | None) -> None:
    """Give ``parser`` ``--device``, which may be chosen for it (None), and ``--threads``."""
    text = f"cpu, cuda or cuda:N (default: {device or 'a GPU where there is one'})"
    parser.add_argument("--device", default=device, help=text)
    add_threads_argument(parser)


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` ``--threads``, which ``run_command`` sets."""
    parser.add_argument(
        "--threads", type=whole_number(1, 1024), help="CPU threads (default: all cores)"
    )


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` ``--model`` and how it searches: ``--beam-size`` and ``--max-length``."""
    parser.add_argument(
        "--model",
        type=Path,
        default=SHIPPED,
        help="archive, exported captioner.pt or checkpoint (default: the shipped archive, or the "
        "captioner.mar in CAPTIONIZE_MODEL_STORE)",
    )
    parser.add_argument(
        "--beam-size",
        type=whole_number(1, MAX_BEAM_SIZE),
        default=Options().beam_size,
        help=f"1 to {MAX_BEAM_SIZE} (default: %(default)s)",
    )
    parser.add_argument(
        "--max-length",
        type=whole_number(1, MAX_LENGTH),
        default=Options().max_length,
        help=f"words, 1 to {MAX_LENGTH} (default: %(default)s)",
    )


def check_no_effect(arguments: argparse.Namespace, names: Iterable[str], why: str) -> None:
    """Raise ``OptionError`` for a given option that would be ignored: None stands for not given."""
    for name in names:
        if getattr(arguments, name) is not None:
            flag = "--" + name.replace("_", "-")
            raise OptionError(f"{flag} has no effect {why}. Leave it out.")


def unwritable(file: Path) -> str | None:
    """What keeps a file from being written, as far as can be seen before; None if nothing does."""
    try:
        if file.is_dir():
            return f"{file} cannot be written: it is a folder."
        around = next(one for one in file.absolute().parents if one.exists())
        if not (around.is_dir() and os.access(file if file.exists() else around, os.W_OK)):
            return f"{file} cannot be written: {around} does not let you."
    except OSError as error:
        return f"{file} cannot be written: {error.strerror}."
    return None


def check_writable(path: Path, flag: str) -> None:
    """Raise ``OptionError`` for a file that could not be written when the work for it is done."""
    if reason := unwritable(path):
        raise OptionError(f"{flag}: {reason}")


def choose_device(name: str | None) -> torch.device:
    """The device ``name``, or, without a name, a GPU where there is one.

    Raises:
        DeviceError: it is no device's name, or the machine has no such device.
    """
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise DeviceError(f"--device must be cpu, cuda or cuda:N, but is {name!r}.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"--device {name} was asked for, but torch sees {torch.cuda.device_count()} GPUs."
        )
    return device


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """An argparse type that accepts whole numbers from ``low`` to ``high``."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number between {low} and {high}, but is {text}."
            )
        return value

    return convert
