"""Graphs in ONNX Runtime, and the weights that they get from the module beside them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

# A weight of a graph has its name in the module, `.T`: transposed, then rounded to integers, or
# what these are multiplied by, or left in half precision.
INT8, SCALES, HALF = ".int8", ".scales", ".half"
# Where a graph says that its weights are: in a file of this name, each at the beginning of a page.
PLACE, PAGE = "captioner.weights", 4096


def weights_of(script: Any, names: Iterable[str]) -> dict[str, Any]:
    """The values that a module's weights have for ONNX Runtime, by the names of a graph."""
    import onnxruntime

    values = script.state_dict()
    make = onnxruntime.OrtValue.ortvalue_from_numpy
    return {name: make(_weight(values, name).numpy()) for name in names}


def _weight(values: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    kind = next((one for one in (INT8, SCALES, HALF) if name.endswith(one)), "")
    name = name.removesuffix(kind)
    weight = values[name.removesuffix(".T")]
    if kind == HALF:
        return weight.half()
    weight = weight.float() if weight.is_floating_point() else weight
    weight = weight.T if name.endswith(".T") else weight
    if kind:
        scales = (weight.abs().amax(0) / 127).clamp(min=1e-9)  # of each column
        weight = scales if kind == SCALES else (weight / scales).round().to(torch.int8)
    return weight.contiguous()


def open_session(graph: bytes, weights: Mapping[str, Any], threads: int = 0) -> Any:
    """Load a graph in ONNX Runtime. The weights must live as long as the session."""
    options = _options(threads)
    options.add_external_initializers([*weights], [*weights.values()])
    return _open(graph, options)


def open_large(graph: bytes, script: Any, names: Iterable[str], threads: int = 0) -> Any:
    """Load a graph with many weights of a module, which then live in the session alone.

    They pass through a file, for what ONNX Runtime reads from one it lets go as it lays the weights
    out anew. What it is given in memory stays there, too.
    """
    values = script.state_dict()
    with TemporaryDirectory(prefix="captionize-") as folder:
        with open(Path(folder, PLACE), "wb") as file:
            for name in names:
                file.seek(-(-file.tell() // PAGE) * PAGE)
                file.write(_weight(values, name).numpy().data)
        options = _options(threads)
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", folder
        )
        return _open(graph, options)


def _options(threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    # Between two batches the cores belong to decoding and to the other processes.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3  # errors alone: its warnings are about its own optimisations
    return options


def _open(graph: bytes, options: Any) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
