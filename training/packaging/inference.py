"""Captions of picture files from a checkpoint, an exported module or an archive."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from handler import captioner as served
from handler.answer import name_tags
from handler.captioner import Trust
from handler.decode import decode
from handler.engines import Beams, Search
from handler.errors import PictureError
from handler.text import EOS, PAD, detokenise
from training.common.model_files import ModelError, is_checkpoint, open_model
from training.trainer import checkpoint
from training.trainer.checkpoint import Checkpoint

BATCH_SIZE = 16


@dataclass(frozen=True)
class Caption:
    """One sentence for a picture."""

    text: str
    log_probability: float  # natural logarithm, of the whole sentence with its <EOS>
    confidence: float  # 0 to 1: see training.model.confidence
    trust: str | None = None  # how far it can be trusted, where the model card says so


@dataclass(frozen=True)
class Result:
    """The captions of one file, best first, or the reason why there are none."""

    path: Path
    captions: list[Caption]
    error: str | None = None
    tags: list[dict[str, Any]] = field(default_factory=list)  # as the handler answers them


class Model(Protocol):
    """A captioner ready to run: the handler's own, or that of a checkpoint."""

    image_size: int  # pixels
    vocabulary: list[str]  # words by id
    trust: Trust | None  # from which confidences on a caption is trusted

    def __call__(self, images: Tensor, search: Search) -> Beams:
        """Caption pictures, ``[B, 3, S, S]`` uint8 RGB on the CPU."""


class Trained:
    """The captioner of a checkpoint, as it was trained and before it is exported."""

    def __init__(self, trained: Checkpoint, device: torch.device) -> None:
        self._module = trained.captioner.to(device)
        self._device = device
        self.image_size = trained.captioner.image_size
        self.vocabulary = trained.vocabulary.itos
        self.trust = Trust.of(trained.training.get("calibration", {}))

    @torch.inference_mode()
    def __call__(self, images: Tensor, search: Search) -> Beams:
        beam_size, max_length, num_captions, with_attention = search
        found = self._module(
            images.to(self._device), beam_size, max_length, with_attention, num_captions
        )
        return Beams.of([tensor.cpu() for tensor in found])


def load_model(path: Path, device: torch.device | None = None) -> Model:
    """Load an archive, an exported ``captioner.pt`` or a checkpoint of ``training.train``.

    What was exported is loaded as the handler loads it: by the fastest engine for the device.

    Raises:
        ModelError, CheckpointError: the file is missing or is none of these.
    """
    device = device or torch.device("cpu")
    if is_checkpoint(path):
        return Trained(checkpoint.load(path), device)
    with open_model(path) as files:
        try:
            return served.Captioner(files.module, files.vocabulary, device, card=files.card)
        except ValueError as error:
            raise ModelError(f"{path.name}: {error}.") from error


def trust_of(path: Path) -> float | None:
    """The confidence from which on a model's captions are taken for right; None: it says none."""
    if is_checkpoint(path):
        card: dict[str, Any] = checkpoint.read(path).get("training", {}).get("calibration", {})
    else:
        with open_model(path) as files:
            card = files.card or {}
    return card.get("trust", {}).get("right")


def caption_pictures(paths: Sequence[Path], model: Model, search: Search) -> Iterator[Result]:
    """Caption picture files, in order and in batches; an unreadable one fails alone."""
    for start in range(0, len(paths), BATCH_SIZE):
        chunk = paths[start : start + BATCH_SIZE]
        decoded = [_read(path, model.image_size) for path in chunk]
        readable = [pixels for pixels in decoded if isinstance(pixels, Tensor)]
        found = iter(_caption(model, torch.stack(readable), search) if readable else ())
        for path, pixels in zip(chunk, decoded, strict=True):
            if isinstance(pixels, Tensor):
                captions, tags = next(found)
                yield Result(path, captions, tags=tags)
            else:
                yield Result(path, [], pixels)


def _read(path: Path, image_size: int) -> Tensor | str:
    """The picture ``[3, S, S]``, or what is wrong with it."""
    try:
        return decode(path.read_bytes(), image_size).pixels
    except PictureError as error:
        return error.message
    except OSError as error:
        return f"The file cannot be read ({error.strerror})."


def _caption(
    model: Model, images: Tensor, search: Search
) -> Iterator[tuple[list[Caption], list[dict[str, Any]]]]:
    """The captions and the tags of each picture."""
    beams = model(images, search)
    totals = beams.log_probs.sum(-1)  # (B, N)
    found = (beams.tokens, totals, beams.confidence, beams.tags, beams.tag_probabilities)
    for *sentences, tags, probabilities in zip(*(x.tolist() for x in found), strict=True):
        captions = [
            Caption(
                detokenise([model.vocabulary[i] for i in row if i not in (PAD, EOS)]),
                total,
                confidence,
                model.trust.level(confidence) if model.trust else None,
            )
            for row, total, confidence in zip(*sentences, strict=True)
            if total > -math.inf  # a captioner of few words may have fewer sentences than beams
        ]
        yield captions, name_tags(tags, probabilities, model.vocabulary)
