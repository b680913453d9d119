"""What TorchServe calls a model: its name and its version, checked before hours of work."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from training.common.cli import check_no_effect, check_writable
from training.common.errors import OptionError

# TorchServe takes every path with "/token" in it for its token API. The page has the same rule.
NAME = re.compile(r"(?!token)[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
RULE = "must be letters, digits, '.', '_' and '-', and not begin with 'token'"
OPTIONS = ("name", "version", "data_name")


@dataclass(frozen=True)
class Label:
    """How an archive is labelled.

    Raises:
        OptionError: the name or the version is none that TorchServe and the page can serve.
    """

    name: str
    version: str = "1.0"
    data_name: str = "the owner's pictures"  # the training data, in words

    def __post_init__(self) -> None:
        for flag, value in (("--name", self.name), ("--version", self.version)):
            if not NAME.fullmatch(value):
                raise OptionError(f"{flag} {RULE}, but is {value!r}.")


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the options of a ``Label``, which are None where they are not given."""
    parser.add_argument("--name", help="the model's, for TorchServe (default: the archive's)")
    parser.add_argument("--version", help=f"the model's, for TorchServe (default: {Label.version})")
    parser.add_argument(
        "--data-name", help=f"what the data is, for the model card (default: {Label.data_name})"
    )


def read_label(arguments: argparse.Namespace, archive: Path) -> Label:
    """The label that was asked for; the model is called as the file unless it is named.

    Raises:
        OptionError: a name cannot be served, the file's own included.
    """
    if archive.suffix != ".mar" or not NAME.fullmatch(archive.stem):
        raise OptionError(f"The archive's file name {RULE}, then '.mar', but is {archive.name!r}.")
    check_writable(archive, "The archive")
    given = {name: getattr(arguments, name) for name in OPTIONS}
    return Label(**{"name": archive.stem, **{k: v for k, v in given.items() if v is not None}})


def check_no_label(arguments: argparse.Namespace, why: str) -> None:
    """Raise ``OptionError`` for an option of a label that would be ignored."""
    check_no_effect(arguments, OPTIONS, why)
