"""The engines that run an exported captioner: PyTorch anywhere, ONNX Runtime on the CPU."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt
import torch

from handler.sessions import INT8, open_large, open_session, weights_of

logger = logging.getLogger(__name__)

ENGINES = ("auto", "torchscript", "onnxruntime")
PRECISIONS = ("auto", "float32", "int8")
# What `captioner.pt` carries beside the TorchScript module (training.export makes both).
GRAPH = "captioner.onnx"  # the same captioner as an ONNX graph without weights
WEIGHTS = "weights.json"  # the names of the weights that it needs
INTEGER_GRAPH = "captioner.int8.onnx"  # the same captioner computing with integers,
INTEGER_WEIGHTS = "weights.int8.json"  # and the weights that this needs

LARGE = 50_000_000  # weights; our own models have some 14 million

# How precisions are tried: so many pictures, so many times each.
_TRIED, _TRIALS = 4, 2


def pieces_for(words: int) -> int:
    """The most tokens of a sentence of so many words, in a model whose words are made of pieces."""
    return 2 * words + 8


class Beams(NamedTuple):
    """What a captioner found, best sentence first, on the CPU."""

    tokens: torch.Tensor  # (B, N, T) int64, <EOS> included, padded with <PAD>
    log_probs: torch.Tensor  # (B, N, T) float32, of each token, natural logarithm
    attention: torch.Tensor  # (B, N, T, G) float32, or (B, N, 0, G) if not requested
    confidence: torch.Tensor  # (B, N) float32, 0 to 1; the model card says what it means
    tags: torch.Tensor  # (B, M) int64, what each picture shows, most probable first, or <PAD>
    tag_probabilities: torch.Tensor  # (B, M) float32

    @classmethod
    def of(cls, found: Sequence[torch.Tensor]) -> "Beams":
        """Name the tensors of a module; one that was exported before there were tags has none."""
        if len(found) == 4:
            nothing = found[0].new_zeros(len(found[0]), 0)
            found = (*found, nothing, nothing.float())
        return cls(*found)


class Search(NamedTuple):
    """The parameters of a beam search."""

    beam_size: int
    max_length: int  # words
    num_captions: int  # at most beam_size: the search ends as soon as these are settled
    with_attention: bool = False


@dataclass(frozen=True)
class Exported:
    """What `captioner.pt` holds."""

    script: Any  # torch.jit.ScriptModule, of training.model.captioner or training.adoption.model
    graph: bytes  # empty where there is none
    weights: list[str]  # names that the graph gives to the module's weights
    integer_graph: bytes = b""  # likewise, both
    integer_weights: Sequence[str] = ()

    @property
    def is_large(self) -> bool:
        """Whether its weights are too many to be kept in memory twice."""
        count: int = sum(one.numel() for one in self.script.parameters())
        return count > LARGE


class Engine(Protocol):
    """Captions batches of pictures, (B, 3, S, S) uint8 RGB on the CPU."""

    name: str
    precision: str
    reason: str  # for this precision

    def __call__(self, images: torch.Tensor, search: Search) -> Beams:
        """Caption pictures in one beam search."""


class TorchScriptEngine:
    """The module itself, frozen: in half precision on a GPU, on a CPU in single precision, or in
    what an adopted captioner asks for."""

    name = "torchscript"

    def __init__(self, exported: Exported, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self.reason = "what the model was made for, or what a GPU is fastest with"
        # Weights are stored in half precision, in which CPUs compute slowly.
        on_cpu = getattr(exported.script, "precision", "float32")
        self.precision = "float16" if on_gpu else on_cpu
        self._device = device
        self._module = torch.jit.freeze(exported.script.to(getattr(torch, self.precision)))

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor, search: Search) -> Beams:
        """Caption pictures in one beam search."""
        if self._device.type == "cuda":
            images = images.pin_memory().to(self._device, non_blocking=True)
        beam_size, max_length, num_captions, with_attention = search
        found = self._module(images, beam_size, max_length, with_attention, num_captions)
        return Beams.of([tensor.cpu() for tensor in found])


class OnnxEngine:
    """A graph beside the module, with the module's weights, in ONNX Runtime on the CPU.

    Args:
        threads: 0: as many as PyTorch uses.
        weights: those of `weights_of`, where another engine has them, too.
    """

    name = "onnxruntime"

    def __init__(
        self,
        exported: Exported,
        threads: int = 0,
        precision: str = "float32",
        weights: Mapping[str, Any] | None = None,
    ) -> None:
        self.precision = "int8" if _is_rounded(exported) else precision
        self.reason = "as it was set, or the only one there is"
        graph, names = exported.graph, exported.weights
        if precision == "int8" and exported.integer_graph:
            graph, names = exported.integer_graph, [*exported.integer_weights]
        if exported.is_large:
            self._session = open_large(graph, exported.script, names, threads)
        else:
            weights = weights or weights_of(exported.script, names)
            # The session reads these in place, so they must live as long as it does.
            self._weights = {name: weights[name] for name in names}
            self._session = open_session(graph, self._weights, threads)
        # How an adopted captioner is told from our own.
        self._in_pieces = "most" in [one.name for one in self._session.get_inputs()]

    def __call__(self, images: torch.Tensor, search: Search) -> Beams:
        """Caption pictures in one beam search."""
        found = self._session.run(None, inputs_of(images, search, in_pieces=self._in_pieces))
        tensors = [torch.from_numpy(array) for array in found]
        captions, tags = tensors[:4], tensors[4:]
        return Beams.of([*(tensor[:, : search.num_captions] for tensor in captions), *tags])


def inputs_of(
    images: torch.Tensor, search: Search, *, in_pieces: bool = False
) -> dict[str, npt.NDArray[Any]]:
    """What a graph is given for pictures; its sizes say how far to search.

    Args:
        in_pieces: the captioner is an adopted one, whose words are made of pieces.
    """
    scores = torch.full((search.beam_size,), -torch.inf)
    scores[0] = 0.0  # of K equal empty sentences only one may grow
    inputs = {"images": images, "scores": scores}
    if in_pieces:
        steps = torch.arange(pieces_for(search.max_length))
        inputs["most"] = torch.tensor(search.max_length)
    else:
        steps = torch.arange(search.max_length + 1)
        inputs["wanted"] = torch.arange(search.beam_size) < search.num_captions
    inputs |= {"steps": steps, "looks": steps if search.with_attention else steps[:0]}
    return {name: value.numpy() for name, value in inputs.items()}


def _is_rounded(exported: Exported) -> bool:
    """Whether the only graph is one of integers, as those of adopted captioners may be."""
    return any(name.endswith(INT8) for name in exported.weights)


def read_module(path: Path, device: torch.device) -> Exported:
    """Read `captioner.pt` onto a device."""
    beside = dict.fromkeys((GRAPH, WEIGHTS, INTEGER_GRAPH, INTEGER_WEIGHTS), b"")
    script = torch.jit.load(  # type: ignore[no-untyped-call]
        path, map_location=device, _extra_files=beside
    ).eval()
    names = [json.loads(beside[one] or "[]") for one in (WEIGHTS, INTEGER_WEIGHTS)]
    # One that was packed before decoders computed with integers has the same weights in both.
    return Exported(script, beside[GRAPH], names[0], beside[INTEGER_GRAPH], names[1] or names[0])


def load_engine(
    exported: Exported, name: str, device: torch.device, threads: int = 0, precision: str = "auto"
) -> Engine:
    """Load the engine of this name; `auto` takes the fastest that there is.

    Args:
        threads: of ONNX Runtime; 0: as many as PyTorch uses. TorchScript runs in PyTorch's own.
        precision: in ONNX Runtime, one of `PRECISIONS`; others have none to choose.

    Raises:
        ValueError: it cannot run this module on this device; the message says why.
    """
    reason = _why_not_onnx(exported, device)
    if not reason and name != "torchscript":
        return _load_onnx(exported, threads, precision)
    if name == "onnxruntime":
        raise ValueError(f"engine is 'onnxruntime', but {reason}")
    if precision == "int8":
        raise ValueError(f"precision is 'int8', but {reason or 'engine is torchscript'}")
    if name == "auto" and device.type == "cpu":
        logger.warning("The engine is TorchScript, which is slower on a CPU: %s", reason)
    return TorchScriptEngine(exported, device)


def _load_onnx(exported: Exported, threads: int, precision: str) -> OnnxEngine:
    if not exported.integer_graph:
        if precision == "int8" and not _is_rounded(exported):
            raise ValueError(
                "precision is 'int8', but the archive has no integers; pack it again with "
                "training.archive --repack --pictures"
            )
        precision = "float32"
    tried = PRECISIONS[1:] if precision == "auto" else (precision,)
    names = {*exported.weights, *exported.integer_weights} if tried[1:] else ()
    weights = weights_of(exported.script, names) or None
    with ThreadPoolExecutor() as pool:  # opening a session keeps one core busy
        engines = [*pool.map(lambda one: OnnxEngine(exported, threads, one, weights), tried)]
    return _fastest(engines, int(exported.script.image_size)) if engines[1:] else engines[0]


def _fastest(engines: Sequence[OnnxEngine], size: int) -> OnnxEngine:
    """Which engine captions noise in the least time, on these cores as they are now."""
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (_TRIED, 3, size, size), generator=noise, dtype=torch.uint8)
    # One word is enough to tell them apart.
    search = Search(beam_size=1, max_length=1, num_captions=1)
    least = [float("inf")] * len(engines)
    for trial in range(1 + _TRIALS):  # the first is slow
        for place, engine in enumerate(engines):
            started = time.perf_counter()
            engine(images, search)
            if trial:
                least[place] = min(least[place], time.perf_counter() - started)
    taken = engines[least.index(min(least))]
    taken.reason = "the fastest: " + ", ".join(
        f"{engine.precision} takes {1e3 * seconds / _TRIED:.1f} ms for a picture and its first word"
        for engine, seconds in zip(engines, least, strict=True)
    )
    return taken


def _why_not_onnx(exported: Exported, device: torch.device) -> str:
    """Return why ONNX Runtime cannot be used; empty if it can."""
    if device.type != "cpu":
        return f"it runs only on a CPU, and the device is {device}"
    if not exported.graph:
        return "the archive contains no ONNX graph; pack it again with training.archive --repack"
    if find_spec("onnxruntime") is None:
        return "the package onnxruntime is not installed"
    return ""
