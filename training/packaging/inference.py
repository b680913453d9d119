"""Captions of picture files from a checkpoint, an exported module or an archive."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from handler import captioner as served
from handler.answer import choose, name_tags
from handler.captioner import Trust
from handler.decode import SQUEEZED, Fit, decode
from handler.engines import Beams, Search
from handler.errors import PictureError
from handler.options import Options
from handler.text import WholeWords, Words, say_neutrally
from training.common.model_files import ModelError, is_checkpoint, open_model
from training.pictures.results import Caption, Result
from training.trainer import checkpoint
from training.trainer.checkpoint import Checkpoint

BATCH_SIZE = 16


class Model(Protocol):
    """A captioner ready to run: the handler's own, or that of a checkpoint."""

    image_size: int  # pixels
    fit: Fit  # how pictures are brought to that size
    words: Words  # what tokens mean
    vocabulary: list[str]  # tokens by id
    trust: Trust | None  # from which confidences on a caption is trusted
    content: list[bool]  # of each token, whether it is a content word; empty: not told

    def __call__(self, images: Tensor, search: Search) -> Beams:
        """Caption pictures, ``[B, 3, S, S]`` uint8 RGB on the CPU."""


class Trained:
    """The captioner of a checkpoint, as it was trained and before it is exported."""

    def __init__(self, trained: Checkpoint, device: torch.device) -> None:
        self._module = trained.captioner.to(device)
        self._device = device
        self.image_size = trained.captioner.image_size
        self.fit = SQUEEZED
        self.vocabulary = trained.vocabulary.itos
        self.words: Words = WholeWords(self.vocabulary)
        self.content = trained.captioner.calibration.content.bool().tolist()
        self.trust = Trust.of(trained.training.get("calibration", {}))

    @torch.inference_mode()
    def __call__(self, images: Tensor, search: Search) -> Beams:
        beam_size, max_length, num_captions, with_attention = search
        found = self._module(
            images.to(self._device), beam_size, max_length, with_attention, num_captions
        )
        return Beams.of([tensor.cpu() for tensor in found])


def load_model(path: Path, device: torch.device | None = None, precision: str = "auto") -> Model:
    """Load an archive, an exported ``captioner.pt`` or a checkpoint of ``training.train``.

    What was exported is loaded as the handler loads it: by the fastest engine for the device.

    Args:
        precision: of an exported captioner on a CPU, one of ``handler.engines.PRECISIONS``.

    Raises:
        ModelError, CheckpointError: the file is missing or is none of these.
    """
    device = device or torch.device("cpu")
    if is_checkpoint(path):
        return Trained(checkpoint.load(path), device)
    with open_model(path) as files:
        try:
            return served.Captioner(
                files.module, files.vocabulary, device, card=files.card, precision=precision
            )
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


def caption_pictures(
    paths: Sequence[Path], model: Model, search: Search, options: Options | None = None
) -> Iterator[Result]:
    """Caption picture files, in order and in batches; an unreadable one fails alone.

    ``options`` say which captions are told of those that the search finds, and with which words.
    """
    told = options or Options(search.beam_size, search.num_captions, search.max_length)
    for start in range(0, len(paths), BATCH_SIZE):
        chunk = paths[start : start + BATCH_SIZE]
        pictures = [read_picture(path.read_bytes, model) for path in chunk]
        found = caption_batch(pictures, model, search, told)
        for path, outcome in zip(chunk, found, strict=True):
            if isinstance(outcome, Failure):
                yield Result(path, [], outcome.message)
            else:
                yield Result(path, outcome.captions, tags=outcome.tags)


class Failure(NamedTuple):
    """Why a picture has no caption."""

    type: str  # as the API names it, or the exception of a file that cannot be read
    message: str


class Outcome(NamedTuple):
    """What was found for a picture."""

    captions: list[Caption]  # best first
    tags: list[dict[str, Any]]  # as the handler answers them


def read_picture(read: Callable[[], bytes], model: Model) -> Tensor | Failure:
    """The picture ``[3, S, S]`` of the bytes that ``read`` gives, or what is wrong with it."""
    try:
        return decode(read(), model.image_size, fit=model.fit).pixels
    except PictureError as error:
        return Failure(error.type, error.message)
    except OSError as error:
        why = error.strerror or error
        return Failure(type(error).__name__, f"The file cannot be read ({why}).")


def caption_batch(
    pictures: Sequence[Tensor | Failure], model: Model, search: Search, options: Options
) -> list[Outcome | Failure]:
    """Caption what could be read, in one search; the failures pass through, in their places."""
    readable = [pixels for pixels in pictures if isinstance(pixels, Tensor)]
    found = iter(_caption(model, torch.stack(readable), search, options) if readable else ())
    return [one if isinstance(one, Failure) else next(found) for one in pictures]


def _caption(model: Model, images: Tensor, search: Search, options: Options) -> Iterator[Outcome]:
    """The captions and the tags of each picture, ``[B, 3, S, S]``."""
    beams = model(images, search)
    totals = beams.log_probs.sum(-1)  # (B, N)
    neutrally = options.people == "neutral"
    found = (beams.tokens, totals, beams.confidence, beams.tags, beams.tag_probabilities)
    for *sentences, tags, probabilities in zip(*(x.tolist() for x in found), strict=True):
        # A captioner of few words may have fewer sentences than beams.
        there = [one for one in zip(*sentences, strict=True) if one[1] > -math.inf]
        content = [] if options.likely else model.content
        captions = [
            Caption(
                _sentence(there[place][0], model.words, neutrally),
                there[place][1],
                there[place][2],
                model.trust.level(there[place][2]) if model.trust else None,
            )
            for place in choose([one[0] for one in there], options, model.words, content)
        ]
        named = name_tags(tags, probabilities, model.vocabulary, neutrally=neutrally)
        yield Outcome(captions, named)


def _sentence(tokens: list[int], words: Words, neutrally: bool) -> str:
    text, said = words.read(tokens)
    return say_neutrally(said)[0] if neutrally else text
