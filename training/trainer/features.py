"""A frozen encoder's features, computed once and kept on disk as a memory map."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from handler.errors import PictureError
from training.common.progress import progress
from training.data.augment import Augmentation
from training.data.splits import Example
from training.data.store import FeatureStore, index_path, read_picture
from training.model.encoders import Encoder

logger = logging.getLogger(__name__)

BATCH_SIZE = 32
Autocast = Callable[[], AbstractContextManager[None]]


def feature_store(
    encoder: Encoder,
    encoder_name: str,
    examples: Sequence[Example],
    folder: Path,
    *,
    views: int = 1,
    augmentation: Augmentation | None = None,
    autocast: Autocast = nullcontext,
) -> FeatureStore:
    """Open the cached features of ``examples``, or compute them first, where the encoder is.

    Training draws one of a picture's ``views`` (see ``Augmentation.view``) at random; everything
    else takes the first, which is the picture as it is. Without variation there is one view alone.

    The file's name is a digest of the encoder, the input size, the views and the pictures (name,
    bytes, time of change). It appears under that name only when it is complete, so an interrupted
    run leaves nothing that could be mistaken for features.
    """
    augmentation = augmentation or Augmentation()
    views = views if augmentation.varies else 1
    folder.mkdir(parents=True, exist_ok=True)
    key = _cache_key(encoder, f"{encoder_name} {views} {augmentation}", examples)
    path = folder / f"{encoder_name}-{encoder.image_size}-{key}.npy"
    if not path.exists():
        _compute(encoder.eval(), examples, path, views, augmentation, autocast)
    return FeatureStore(path)


def _cache_key(encoder: Encoder, what: str, examples: Sequence[Example]) -> str:
    digest = hashlib.sha256(f"{what} {encoder.image_size}\n".encode())
    for parameter in encoder.state_dict().values():
        # Two encoders of one name may hold other weights; sums tell them apart at little cost.
        digest.update(np.float64(parameter.double().sum().item()).tobytes())
    for example in sorted(examples, key=lambda e: e.name):
        stat = example.path.stat()
        digest.update(f"{example.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _compute(
    encoder: Encoder,
    examples: Sequence[Example],
    path: Path,
    views: int,
    augmentation: Augmentation,
    autocast: Autocast,
) -> None:
    _remove_leftovers(path)
    unfinished = _partial(path, os.getpid())
    names: list[str] = []
    unreadable: dict[str, str] = {}
    cells = encoder.grid_rows * encoder.grid_columns
    shape = (len(examples), views, cells, encoder.channels)
    logger.info("Computing encoder features of %d pictures, once.", len(examples))
    try:
        array = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float16, shape=shape)
        batches = _batches(examples, encoder.image_size, unreadable)
        for chunk, pixels in progress(batches, "features", -(-len(examples) // BATCH_SIZE)):
            rows = slice(len(names), len(names) + len(chunk))
            for view in range(views):
                seen = map(partial(augmentation.view, number=view), pixels, chunk)
                with torch.inference_mode(), autocast():
                    features = encoder(torch.stack(list(seen)).to(encoder.mean.device))
                array[rows, view] = features.half().cpu().numpy()
            names.extend(chunk)
        array.flush()
        index = json.dumps({"names": names, "unreadable": unreadable})
        index_path(path).write_text(index, encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _partial(path: Path, process: int | str) -> Path:
    """Where a process of this machine writes what is to be ``path``."""
    return path.with_name(f"{path.stem}.{platform.node()}.{process}.partial")


def _remove_leftovers(path: Path) -> None:
    """Remove what killed processes of this machine left of their work on ``path``: gigabytes."""
    for left in path.parent.glob(_partial(path, "*").name):
        process = left.name.split(".")[-2]
        if not Path("/proc", process).exists() and Path("/proc/self").exists():
            left.unlink(missing_ok=True)


def _batches(
    examples: Sequence[Example], image_size: int, unreadable: dict[str, str]
) -> Iterator[tuple[list[str], list[Tensor]]]:
    """Yield names and pictures ``[3, S, S]``, noting what cannot be decoded in ``unreadable``."""
    for start in range(0, len(examples), BATCH_SIZE):
        pictures: dict[str, Tensor] = {}
        for example in examples[start : start + BATCH_SIZE]:
            try:
                pictures[example.name] = read_picture(example.path, image_size)
            except (PictureError, OSError) as error:
                unreadable[example.name] = str(error)
        if pictures:
            yield list(pictures), list(pictures.values())
