"""Adopting a published model: read, checked against ``transformers``, exported and packed."""

from __future__ import annotations

import datetime
import logging
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handler.engines import Search, load_engine, read_module
from handler.options import Options
from handler.text import TOKENIZER
from training.adoption import serving
from training.adoption.families.table import read
from training.adoption.hub import Source
from training.adoption.model.search import AdoptedCaptioner
from training.adoption.onnx_parts import build_graph
from training.adoption.pieces import begins, copy_tokenizer
from training.adoption.precision import lowered
from training.adoption.published import library, read_processing
from training.adoption.reference import Reference
from training.adoption.weights import AdoptionError
from training.common.model_files import CONFIG, MODULE
from training.packaging.archives import HANDLER, archive
from training.packaging.exporting import export, save_exported
from training.packaging.label import Label

logger = logging.getLogger(__name__)

CPU = torch.device("cpu")
BEAMS = (1, 3, 5)
PICTURES, PIECES = 6, 20
TOLERANCE = 1e-3  # of log-probabilities and scores
UNLIMITED = 10**6  # words: the reference knows no such limit
LIMITS = [
    "It was adopted as it was published: nothing here has measured how well it describes pictures. "
    "See where it comes from.",
    "Its confidence is the geometric mean of its tokens' probabilities until `captionize calibrate "
    "--archive` has fitted it.",
    "It repeats the habits and biases of what it was trained on. Have a person check what matters.",
]


@dataclass(frozen=True)
class Agreement:
    """How far an adopted captioner and its reference agree: wholly, or there is no archive."""

    sentences: int
    distinct: int
    ended: int  # closed by their end, not by the limit
    difference: float  # the greatest, of log-probabilities and scores


def adopt(
    folder: Path, output: Path, label: Label, source: Source, precision: str = "float32"
) -> None:
    """Make an archive of a published model's folder.

    Args:
        precision: on CPUs, one of ``PRECISIONS``.

    Raises:
        AdoptionError: the model is not known here, or does not do what ``transformers`` does.
        ExportError: its exported forms differ.
    """
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        copy_tokenizer(folder, work)
        processing = read_processing(folder)
        reference = Reference(folder, processing)
        captioner = read(folder, begins(work / TOKENIZER), reference.length_penalty)
        images = pictures(captioner.image_size)
        agreement = compare(captioner, reference, images)
        logger.info("transformers finds the same %d sentences.", agreement.sentences)
        if agreement.distinct == 1:
            logger.warning("They are all alike, which proves little.")
        card = _card(captioner, reference, label, source, agreement)
        del reference
        module = work / MODULE
        _export(captioner, module, precision)
        if precision != "float32":
            save_exported(lowered(read_module(module, CPU), precision), module)
            card["adopted"]["precision"] = _alike(captioner, module, images, precision)
        del captioner
        engine, speed = serving.fastest(module, images)
        serving.write_config(HANDLER / CONFIG, engine, speed, work / CONFIG)
        archive(module, work / TOKENIZER, card, output, work / CONFIG)


def _export(captioner: AdoptedCaptioner, module: Path, precision: str) -> None:
    """Export to TorchScript and, where it is of use and can be done, to ONNX."""
    graph = None
    try:
        if precision != "bfloat16":  # which is TorchScript's
            graph = build_graph(captioner)
    except Exception as error:  # what the exporter raises has no common kind
        if precision == "int8":
            raise AdoptionError(f"int8 needs a graph for ONNX Runtime: {error}") from error
        logger.warning("There is no graph for ONNX Runtime: %s", error)
    build = partial(lambda made, _: made, graph)
    export(captioner, module, onnx=graph is not None, build=build, tolerance=TOLERANCE)


def _alike(
    captioner: AdoptedCaptioner, module: Path, images: Tensor, precision: str
) -> dict[str, Any]:
    """How far the answers in another precision are those of float32; they need not be."""
    options = Options()
    search = Search(options.beam_size, options.max_length, options.num_captions)
    with torch.inference_mode():
        want = captioner(images, search.beam_size, search.max_length, False)[0]
    name = "onnxruntime" if precision == "int8" else "torchscript"
    found = load_engine(read_module(module, CPU), name, CPU)(images, search).tokens
    same, distinct = (want == found).all(-1), {tuple(row) for row in found[:, 0].tolist()}
    logger.info(
        "In %s, %d of %d sentences are those of float32; the first ones of %d pictures are %d "
        "different ones.",
        precision,
        same.sum(),
        same.numel(),
        len(images),
        len(distinct),
    )
    return {
        "name": precision,
        "sentences": same.numel(),
        "as_in_float32": int(same.sum()),
        "distinct": len(distinct),
    }


def pictures(size: int) -> Tensor:
    """Pictures that differ in all that a model may see: noise, and squares of plain colours."""
    chance = torch.Generator().manual_seed(0)
    half = PICTURES // 2
    noise = torch.randint(0, 256, (half, 3, size, size), generator=chance, dtype=torch.uint8)
    colours = torch.randint(0, 256, (half, 3, 4, 4), generator=chance, dtype=torch.uint8)
    side = -(-size // 4)
    squares = colours.repeat_interleave(side, 2).repeat_interleave(side, 3)[:, :, :size, :size]
    return torch.cat([noise, squares])


@torch.inference_mode()
def compare(
    captioner: AdoptedCaptioner,
    reference: Reference,
    images: Tensor,
    beams: Iterable[int] = BEAMS,
    pieces: int = PIECES,
) -> Agreement:
    """Compare the sentences that both find.

    Raises:
        AdoptionError: a sentence or a score differs.
    """
    count, ended, worst, distinct = 0, 0, 0.0, set()
    penalty = captioner.length_penalty
    for size in beams:
        want = reference.generate(images, size, pieces, penalty)
        found = captioner(images, size, UNLIMITED, False, 0, pieces)
        length = want.tokens.shape[2]
        tokens, log_probs = found[0][:, :, :length], found[1][:, :, :length]
        said = tokens != captioner.pad
        if not torch.equal(torch.where(said, want.tokens, captioner.pad), tokens):
            differ = int(((tokens != want.tokens) & said).any(-1).sum())
            raise AdoptionError(
                f"transformers finds other sentences: {differ} of {said[:, :, 0].numel()} differ "
                f"with {size} beams. No archive was written. The model's generation_config.json "
                "may ask for a search that is not known here."
            )
        difference = (log_probs - want.log_probs).abs()[said].max()
        if size > 1:
            scores = log_probs.sum(-1) / said.sum(-1).float() ** penalty
            difference = torch.maximum(difference, (scores - want.scores).abs().max())
        worst = max(worst, float(difference))
        count += said[:, :, 0].numel()
        ended += int((tokens == captioner.end).any(-1).sum())
        distinct |= {tuple(row) for row in tokens[:, 0].tolist()}
    if not worst <= TOLERANCE:
        raise AdoptionError(
            f"Log-probabilities differ by {worst:.2g} from those of transformers; at most "
            f"{TOLERANCE:g} is accepted. No archive was written."
        )
    return Agreement(count, len(distinct), ended, worst)


def _card(
    captioner: AdoptedCaptioner,
    reference: Reference,
    label: Label,
    source: Source,
    agreement: Agreement,
) -> dict[str, Any]:
    config = reference.config
    parts = [config.get(name) or {} for name in ("encoder", "decoder")]
    kinds = [part.get("model_type", config["model_type"]) for part in parts]
    return {
        "name": label.name,
        "version": label.version,
        "description": f"{source.name}: describes a picture in one sentence.",
        "encoder": kinds[0],
        "decoder": kinds[1],
        "parameters": sum(p.numel() for p in captioner.parameters()),
        "vocabulary_size": captioner.vocab_size,
        "image_size": captioner.image_size,
        "training_data": f"that of {source.name}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "scores": None,
        "confidence": {
            "meaning": "the geometric mean of the probabilities of a caption's tokens and its end"
        },
        "limits": LIMITS,
        "licence": source.licence,
        "adopted": {
            "from": source.name,
            "revision": source.revision,
            "transformers": library().__version__,
            "agreement": {
                "sentences": agreement.sentences,
                "distinct": agreement.distinct,
                "ended": agreement.ended,
                "difference": float(f"{agreement.difference:.2g}"),
            },
        },
    }
