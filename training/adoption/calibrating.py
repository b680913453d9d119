"""Fitting the confidence of an adopted captioner, within its archive."""

from __future__ import annotations

import logging
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handler.captioner import Captioner
from handler.decode import decode
from handler.engines import Search, read_module
from handler.options import Options
from training.adoption.model.confidence import PlainConfidence
from training.adoption.model.search import PAD
from training.common.model_files import MODULE, ModelError, open_model
from training.common.progress import progress
from training.data.batches import drop_unreadable
from training.data.splits import DataError, Example
from training.metrics.agreement import confirmed_share
from training.packaging.archives import archive
from training.packaging.calibration import MEANING, fit_words, judge
from training.packaging.exporting import save_exported

logger = logging.getLogger(__name__)

BATCH = 4  # pictures


def calibrate_archive(
    path: Path, examples: Sequence[Example], device: torch.device, *, strict: bool = False
) -> dict[str, Any]:
    """Fit the confidence on pictures with captions, and write the archive again.

    Raises:
        ModelError: it is not the archive of an adopted model.
        DataError: no picture can be read.
    """
    with open_model(path) as files, tempfile.TemporaryDirectory() as name:
        if not files.adopted or files.card is None or files.config is None:
            raise ModelError(
                f"{path.name} is not the archive of an adopted model. Calibrate the checkpoint of "
                "your own: --checkpoint best.pt"
            )
        captioner = Captioner(files.module, files.vocabulary, device)
        examples = drop_unreadable(examples, captioner.image_size, strict=strict)
        if not examples:
            raise DataError("Calibration needs readable pictures in the dev split.")
        signs, captions = _caption(captioner, examples)
        references = [example.captions for example in examples]
        shares = torch.tensor(list(map(confirmed_share, captions, references)))
        photo = equal = torch.ones(len(shares))  # such models know more than photos
        report = {
            "meaning": MEANING.format(people=statistics.mode(map(len, references))),
            **judge(signs, photo, shares, equal),
        }
        module = Path(name, MODULE)
        _write(files.module, fit_words(signs, photo, shares, equal), module)
        card = {**files.card, "confidence": report, "trust": report["trust"]}
        archive(module, files.vocabulary, card, path, files.config)
    logger.info(
        "Confidence is off by %.4f (expected calibration error, cross-fitted on %d pictures).",
        report["error_cross_fitted"],
        report["pictures"],
    )
    return report


def _caption(captioner: Captioner, examples: Sequence[Example]) -> tuple[Tensor, list[str]]:
    """The signs of the first captions' truth, ``[N, SIGNS]``, and these captions."""
    options, confidence = Options(), PlainConfidence(PAD)
    search = Search(options.beam_size, options.max_length, 1)
    signs, captions = [], []
    batches = _batches(captioner, examples)
    for images in progress(batches, "caption", -(-len(examples) // BATCH)):
        beams = captioner(images, search)
        signs.append(confidence.signs(beams.tokens, beams.log_probs)[:, 0])
        captions += [captioner.words.read(row)[0] for row in beams.tokens[:, 0].tolist()]
    return torch.cat(signs), captions


def _batches(captioner: Captioner, examples: Sequence[Example]) -> Iterator[Tensor]:
    pictures = (
        decode(example.path.read_bytes(), captioner.image_size, fit=captioner.fit).pixels
        for example in examples
    )
    while chunk := list(islice(pictures, BATCH)):
        yield torch.stack(chunk)


def _write(before: Path, words: Tensor, path: Path) -> None:
    """Write an exported module with a fitted confidence; its graph reads it with the weights."""
    exported = read_module(before, torch.device("cpu"))
    with torch.no_grad():
        exported.script.calibration.words.copy_(words)
        exported.script.calibration.fitted.fill_(1)
    save_exported(exported, path)
