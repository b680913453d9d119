"""Exporting a captioner to TorchScript and ONNX.

The weights are stored in half precision, which halves the archive. Whoever loads the module
converts it: ``module.float()`` on a CPU, ``module.half()`` on a GPU.
"""

from __future__ import annotations

import json
import logging
import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handler.engines import (
    GRAPH,
    INTEGER_GRAPH,
    INTEGER_WEIGHTS,
    WEIGHTS,
    Beams,
    Engine,
    Exported,
    OnnxEngine,
    Search,
    TorchScriptEngine,
    read_module,
)
from handler.text import VOCABULARY
from training.common.errors import UserError
from training.data.batches import drop_unreadable
from training.data.splits import Example
from training.data.store import read_picture
from training.packaging.integer_graph import Measured, measure, quantise
from training.packaging.onnx_graph import Graph, build_graph, laid_out
from training.trainer import checkpoint

logger = logging.getLogger(__name__)

PARITY_BATCHES = (1, 2, 5)
PARITY_TOLERANCE = 1e-4  # of log-probabilities, attention and confidence
PHOTOS = 128  # in which is measured what integers need
BATCH_SIZE = 16
LOSS = 0.02  # of the mean confidence of captions, with which integers are left out
# A captioner in any form, called as ``Captioner.forward`` is.
Form = Callable[[Tensor, int, int, bool], tuple[Tensor, ...]]


class ExportError(UserError):
    """The exported module does not do what the trained one does; nothing was written."""


def export(
    captioner: Any,
    path: Path,
    *,
    onnx: bool = True,
    build: Callable[[Any], Graph] = build_graph,
    tolerance: float = PARITY_TOLERANCE,
    integers: Measured | Sequence[Tensor] = (),
) -> torch.jit.ScriptModule:
    """Write ``captioner`` as TorchScript, and return it as read back from the file, in float32.

    The file appears only when eager, scripted, reloaded and frozen modules and ONNX Runtime gave
    equal tokens and log-probabilities for batches of 1, 2 and 5 pictures.

    Args:
        captioner: one of ours, or another module that is called as ours are.
        onnx: put the graph for ONNX Runtime into the file as well.
        build: what makes the graph.
        integers: what was measured, or pictures ``[B, 3, S, S]`` to measure it in, for a second
            graph, which computes with integers; empty: there is none.

    Raises:
        ExportError: they did not.
    """
    captioner = captioner.cpu().half().float().eval()
    graph = build(captioner) if onnx else Graph(b"", [])
    beside = integers_beside(captioner, graph, integers) if onnx else {}
    scripted = torch.jit.script(captioner)
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_exported(Exported(scripted.half(), graph.onnx, graph.weights), partial, beside)
        reloaded, cpu = load_exported(partial), torch.device("cpu")
        frozen = TorchScriptEngine(read_module(partial, cpu), cpu)
        captioner.float()
        scripted.float()
        others: dict[str, Form] = {"scripted": scripted, "reloaded": reloaded}
        others["frozen"] = _as_form(frozen)
        if onnx:
            others["ONNX"] = _as_form(OnnxEngine(read_module(partial, cpu)))
        check_parity(captioner, others, tolerance)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return reloaded


def integers_beside(
    captioner: Any, graph: Graph, integers: Measured | Sequence[Tensor]
) -> dict[str, bytes]:
    """The graph of integers, as it stands beside a module; empty: none is wanted, or none good."""
    if isinstance(integers, Mapping):
        made = quantise(graph, integers)
    elif not integers:
        return {}
    else:
        made = quantise(graph, measure(graph, captioner, integers))
        exported = Exported(captioner, graph.onnx, graph.weights, made.onnx, made.weights)
        if made.onnx and not _trustworthy(exported, integers):
            return {}
    beside = {INTEGER_GRAPH: made.onnx, INTEGER_WEIGHTS: json.dumps(made.weights).encode()}
    return beside if made.onnx else {}


def _trustworthy(exported: Exported, batches: Sequence[Tensor]) -> bool:
    """Whether captions by integers have about the confidence of captions by floats."""
    search = Search(3, 20, 1)
    engines = [OnnxEngine(exported, precision=one) for one in ("float32", "int8")]
    whole, rounded = (
        float(torch.cat([engine(batch, search).confidence for batch in batches]).mean())
        for engine in engines
    )
    logger.info("Mean confidence of captions: %.3f, by integers %.3f.", whole, rounded)
    if rounded < whole - LOSS:
        logger.warning("Integers are left out: they cost more than %g of confidence.", LOSS)
    return rounded >= whole - LOSS


def photos(paths: Sequence[Path], size: int) -> list[Tensor]:
    """A sample of pictures to measure ranges in, the same ones every time, in batches."""
    chosen = random.Random(0).sample(paths, min(PHOTOS, len(paths)))  # nosec B311 # not secret
    readable = drop_unreadable([Example(path, (), str(path)) for path in chosen], size)
    found = [read_picture(example.path, size) for example in readable]
    return [*torch.stack(found).split(BATCH_SIZE)] if found else []


def export_checkpoint(
    path: Path, output: Path, *, onnx: bool = True, pictures: Sequence[Path] = ()
) -> None:
    """Export the captioner of a checkpoint, with its vocabulary beside it; see ``export``.

    Args:
        pictures: photos such as it was trained on, for a graph that computes with integers.
    """
    trained = checkpoint.load(path)
    batches = photos(pictures, trained.captioner.image_size)
    export(trained.captioner, output, onnx=onnx, integers=batches)
    trained.vocabulary.save(output.with_name(VOCABULARY))
    logger.info("Wrote %s (%.1f MB) and %s.", output, output.stat().st_size / 1e6, VOCABULARY)


def load_exported(path: Path) -> torch.jit.ScriptModule:
    """Load an exported captioner in eval mode, in float32 on the CPU."""
    script: torch.jit.ScriptModule = read_module(path, torch.device("cpu")).script.float()
    return script


def save_exported(
    exported: Exported, path: Path, integers: Mapping[str, bytes] | None = None
) -> None:
    """Write what ``read_module`` reads, as it is now; with ``integers_beside`` the graph."""
    graph = laid_out(exported.graph, exported.weights)
    beside = {GRAPH: graph, WEIGHTS: json.dumps(exported.weights).encode()}
    beside |= integers or {}
    exported.script.save(str(path), _extra_files=beside if exported.graph else {})


def _as_form(engine: Engine) -> Form:
    return lambda images, beam_size, max_length, with_attention: engine(
        images, Search(beam_size, max_length, beam_size, with_attention)
    )


@torch.inference_mode()
def check_parity(
    eager: Any, others: Mapping[str, Form], tolerance: float = PARITY_TOLERANCE
) -> None:
    """Compare modules with the eager one on random pictures; raises ``ExportError``."""
    generator = torch.Generator().manual_seed(0)
    size = eager.image_size
    for batch in PARITY_BATCHES:
        images = torch.randint(
            0, 256, (batch, 3, size, size), generator=generator, dtype=torch.uint8
        )
        tokens, *scores = Beams.of(eager(images, 3, 20, True))
        for name, module in others.items():
            other_tokens, *other_scores = Beams.of(module(images, 3, 20, True))
            if not torch.equal(tokens, other_tokens):
                raise ExportError(f"The {name} captioner finds other words (batch of {batch}).")
            for ours, theirs in zip(scores, other_scores, strict=True):
                # Captioners without tags have none to compare.
                difference = float((ours - theirs).abs().max()) if ours.numel() else 0.0
                if not difference <= tolerance:
                    raise ExportError(
                        f"The {name} captioner's scores differ by {difference:.2g} (batch of "
                        f"{batch}); at most {tolerance:g} is accepted."
                    )
