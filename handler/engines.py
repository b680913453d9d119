"""The engines that run an exported captioner: PyTorch anywhere, ONNX Runtime on the CPU."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

logger = logging.getLogger(__name__)

ENGINES = ("auto", "torchscript", "onnxruntime")
# What `captioner.pt` carries beside the TorchScript module (training.export makes both).
GRAPH = "captioner.onnx"  # the same captioner as an ONNX graph without weights
WEIGHTS = "weights.json"  # the names of the weights that the graph needs, `.T`: transposed


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


class Engine(Protocol):
    """Captions batches of pictures, (B, 3, S, S) uint8 RGB on the CPU."""

    name: str
    precision: str

    def __call__(self, images: torch.Tensor, search: Search) -> Beams:
        """Caption pictures in one beam search."""


class TorchScriptEngine:
    """The module itself, frozen: in half precision on a GPU, in single precision on a CPU."""

    name = "torchscript"

    def __init__(self, exported: Exported, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self.precision = "float16" if on_gpu else "float32"
        self._device = device
        # Weights are stored in half precision, in which CPUs compute slowly.
        script = exported.script.half() if on_gpu else exported.script.float()
        self._module = torch.jit.freeze(script)

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor, search: Search) -> Beams:
        """Caption pictures in one beam search."""
        if self._device.type == "cuda":
            images = images.pin_memory().to(self._device, non_blocking=True)
        beam_size, max_length, num_captions, with_attention = search
        found = self._module(images, beam_size, max_length, with_attention, num_captions)
        return Beams.of([tensor.cpu() for tensor in found])


class OnnxEngine:
    """The graph beside the module, with the module's weights, in ONNX Runtime on the CPU."""

    name = "onnxruntime"
    precision = "float32"

    def __init__(self, exported: Exported, threads: int = 0) -> None:
        import onnxruntime

        values = exported.script.state_dict()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        # Between two batches the cores belong to decoding and to the other processes.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 3  # errors alone: its warnings are about its own optimisations
        # The session reads these in place, so they must live as long as it does.
        self._weights = [
            onnxruntime.OrtValue.ortvalue_from_numpy(_weight(values, name).numpy())
            for name in exported.weights
        ]
        options.add_external_initializers(exported.weights, self._weights)
        self._session = onnxruntime.InferenceSession(
            exported.graph, options, providers=["CPUExecutionProvider"]
        )
        # How an adopted captioner is told from our own.
        self._in_pieces = "most" in [one.name for one in self._session.get_inputs()]

    def __call__(self, images: torch.Tensor, search: Search) -> Beams:
        """Caption pictures in one beam search."""
        scores = torch.full((search.beam_size,), -torch.inf)
        scores[0] = 0.0  # of K equal empty sentences only one may grow
        inputs = {"images": images, "scores": scores}
        if self._in_pieces:
            steps = torch.arange(pieces_for(search.max_length))
            inputs["most"] = torch.tensor(search.max_length)
        else:
            steps = torch.arange(search.max_length + 1)
            inputs["wanted"] = torch.arange(search.beam_size) < search.num_captions
        inputs |= {"steps": steps, "looks": steps if search.with_attention else steps[:0]}
        found = self._session.run(None, {name: value.numpy() for name, value in inputs.items()})
        tensors = [torch.from_numpy(array) for array in found]
        captions, tags = tensors[:4], tensors[4:]
        return Beams.of([*(tensor[:, : search.num_captions] for tensor in captions), *tags])


def _weight(values: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    weight = values[name.removesuffix(".T")]
    weight = weight.float() if weight.is_floating_point() else weight
    return (weight.T if name.endswith(".T") else weight).contiguous()


def read_module(path: Path, device: torch.device) -> Exported:
    """Read `captioner.pt` onto a device."""
    beside = {GRAPH: b"", WEIGHTS: b""}
    script = torch.jit.load(  # type: ignore[no-untyped-call]
        path, map_location=device, _extra_files=beside
    ).eval()
    return Exported(script, beside[GRAPH], json.loads(beside[WEIGHTS] or "[]"))


def load_engine(exported: Exported, name: str, device: torch.device, threads: int = 0) -> Engine:
    """Load the engine of this name; `auto` takes the fastest that there is.

    Args:
        threads: of ONNX Runtime; 0: as many as PyTorch uses. TorchScript runs in PyTorch's own.

    Raises:
        ValueError: it cannot run this module on this device; the message says why.
    """
    if name == "torchscript":
        return TorchScriptEngine(exported, device)
    reason = _why_not_onnx(exported, device)
    if not reason:
        return OnnxEngine(exported, threads)
    if name == "onnxruntime":
        raise ValueError(f"engine is 'onnxruntime', but {reason}")
    if device.type == "cpu":
        logger.warning("The engine is TorchScript, which is slower on a CPU: %s", reason)
    return TorchScriptEngine(exported, device)


def _why_not_onnx(exported: Exported, device: torch.device) -> str:
    """Return why ONNX Runtime cannot be used; empty if it can."""
    if device.type != "cpu":
        return f"it runs only on a CPU, and the device is {device}"
    if not exported.graph:
        return "the archive contains no ONNX graph; pack it again with training.archive --repack"
    if find_spec("onnxruntime") is None:
        return "the package onnxruntime is not installed"
    return ""
