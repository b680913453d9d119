"""What one of Ray's actors does: it keeps a captioner, and captions and writes group by group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handler.engines import Search
from handler.options import Options
from training.batch_inference.files import read_bytes
from training.batch_inference.partitions import Partitions
from training.common.cli import choose_device
from training.common.memory import keep_memory
from training.packaging.inference import (
    BATCH_SIZE,
    Failure,
    Outcome,
    caption_batch,
    load_model,
    read_picture,
)

READERS = 4  # files on their way at once
PAUSES_S = (0.5, 2.0)  # before a file is asked for again
FINAL = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


@dataclass(frozen=True)
class Job:
    """What every actor needs to know; it travels to them."""

    model: str  # path of the model, which is there on every machine
    device: str
    threads: int
    options: Options
    output: str  # folder
    form: str  # of its files: parquet or jsonl


class Captioning:
    """Captions groups of pictures, and writes a partition for each."""

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.threads)  # which ONNX Runtime follows
        keep_memory()
        options = job.options
        self._model = load_model(Path(job.model), choose_device(job.device))
        self._search = Search(options.width, options.max_length, options.wanted)
        self._options = options
        self._partitions = Partitions(job.output, job.form)
        self._pool = ThreadPoolExecutor(READERS, "read")

    def __call__(self, group: dict[str, Any]) -> dict[str, Any]:
        """Caption the pictures of one group; returns how many they were, and how many failed."""
        pictures = [str(picture) for picture in group["pictures"]]
        found: list[Outcome | Failure] = []
        for batch in self._batches(pictures):
            found += caption_batch(batch, self._model, self._search, self._options)
        self._partitions.write([*map(row, pictures, found)])
        failed = sum(isinstance(one, Failure) for one in found)
        return {"pictures": len(found), "failed": failed}

    def _batches(self, pictures: Sequence[str]) -> Iterator[list[Tensor | Failure]]:
        """Decoded pictures, ``[3, S, S]`` each; the next batch is read while one is captioned."""
        chunks = [pictures[n : n + BATCH_SIZE] for n in range(0, len(pictures), BATCH_SIZE)]
        ahead = [self._pool.submit(self._read, one) for one in chunks[0]]
        for chunk in [*chunks[1:], ()]:
            now, ahead = ahead, [self._pool.submit(self._read, one) for one in chunk]
            yield [one.result() for one in now]

    def _read(self, place: str) -> Tensor | Failure:
        """Read and decode a picture; whatever is wrong with it, the others get their captions."""
        try:
            return read_picture(partial(patiently, place), self._model)
        except Exception as error:  # of a file system, or too little memory for this one
            return Failure(type(error).__name__, str(error))


def patiently(place: str) -> bytes:
    """All of a file, asked for again where the way to it failed rather than the file.

    Raises:
        OSError: it cannot be read.
    """
    for pause in PAUSES_S:
        try:
            return read_bytes(place)
        except FINAL:
            raise
        except OSError:
            time.sleep(pause)
    return read_bytes(place)


def row(picture: str, found: Outcome | Failure) -> dict[str, Any]:
    """A picture's row of ``partitions.SCHEMA``."""
    first: dict[str, Any] = dict.fromkeys(("caption", "log_probability", "confidence", "trust"))
    others: list[dict[str, Any]] = []
    why: Failure | tuple[None, None] = (None, None)
    tags: list[dict[str, Any]] = []
    if isinstance(found, Failure):
        why = found
    else:
        tags = found.tags
        first, *others = (
            {"caption" if name == "text" else name: value for name, value in asdict(one).items()}
            for one in found.captions
        )
    told = {"alternatives": others, "tags": tags, "error_type": why[0], "error": why[1]}
    return {"path": picture, **first, **told}
