"""Captions without pictures: reading them, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from training.data.batches import Batch, collate
from training.data.simulation import Caption, Simulator
from training.data.splits import DataError, clean_caption


def read_text(path: Path) -> list[str]:
    """The captions in a text file, a line each.

    Raises:
        DataError: there is no such file, or no caption in it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"--text must name a file, but {path} cannot be read.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} must be text in UTF-8, but is not ({error}).") from error
    captions = [caption for line in lines if (caption := clean_caption(line))]
    if not captions:
        raise DataError(f"{path.name} must hold captions, one a line, but is empty.")
    return captions


def text_batches(
    captions: Sequence[Caption], simulator: Simulator, size: int, channels: int
) -> Iterator[Batch]:
    """Batches of captions in random order, without end: each with tags of its own and, instead of
    a picture, one cell of features that are 0."""
    nothing = torch.zeros(1, channels)
    while True:
        order = torch.randperm(len(captions)).tolist()
        for start in range(0, len(order), size):
            items = []
            for index in order[start : start + size]:
                caption, told = simulator.sentence(captions[index])
                items.append((nothing, [caption], index, told))
            yield collate(items)
