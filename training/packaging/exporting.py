"""Exporting a captioner to TorchScript and ONNX.

The weights are stored in half precision, which halves the archive. Whoever loads the module
converts it: ``module.float()`` on a CPU, ``module.half()`` on a GPU.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handler.engines import (
    GRAPH,
    WEIGHTS,
    Beams,
    Engine,
    OnnxEngine,
    Search,
    TorchScriptEngine,
    read_module,
)
from handler.text import VOCABULARY
from training.common.errors import UserError
from training.packaging.onnx_graph import Graph, build_graph
from training.trainer import checkpoint

logger = logging.getLogger(__name__)

PARITY_BATCHES = (1, 2, 5)
PARITY_TOLERANCE = 1e-4  # of log-probabilities, attention and confidence
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
) -> torch.jit.ScriptModule:
    """Write ``captioner`` as TorchScript, and return it as read back from the file, in float32.

    The file appears only when eager, scripted, reloaded and frozen modules and ONNX Runtime gave
    equal tokens and log-probabilities for batches of 1, 2 and 5 pictures.

    Args:
        captioner: one of ours, or another module that is called as ours are.
        onnx: put the graph for ONNX Runtime into the file as well.
        build: what makes the graph.

    Raises:
        ExportError: they did not.
    """
    captioner = captioner.cpu().half().float().eval()
    beside = {}
    if onnx:
        graph = build(captioner)
        beside = {GRAPH: graph.onnx, WEIGHTS: json.dumps(graph.weights).encode()}
    scripted = torch.jit.script(captioner)
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        scripted.half().save(str(partial), _extra_files=beside)
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


def export_checkpoint(path: Path, output: Path, *, onnx: bool = True) -> None:
    """Export the captioner of a checkpoint, with its vocabulary beside it; see ``export``."""
    trained = checkpoint.load(path)
    export(trained.captioner, output, onnx=onnx)
    trained.vocabulary.save(output.with_name(VOCABULARY))
    logger.info("Wrote %s (%.1f MB) and %s.", output, output.stat().st_size / 1e6, VOCABULARY)


def load_exported(path: Path) -> torch.jit.ScriptModule:
    """Load an exported captioner in eval mode, in float32 on the CPU."""
    script: torch.jit.ScriptModule = read_module(path, torch.device("cpu")).script.float()
    return script


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
