"""What the commands share: their options' types and the choice of a device."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch


class DeviceError(ValueError):
    """The device that was asked for does not exist."""


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


def choose_device(name: str | None) -> torch.device:
    """The device ``name``, or, without a name, a GPU where there is one.

    Raises:
        DeviceError: it is no device's name, or the machine has no such device.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"--device must be cpu, cuda or cuda:N, but is {name!r}.") from error
    if device.type not in ("cpu", "cuda"):
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
