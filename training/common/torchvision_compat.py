"""Make ``import torchvision`` work beside a CPU-only torch.

On Linux the torchvision wheel of the Python package index is linked with CUDA. Beside a CPU build
of torch its compiled operators do not load, and its import stops at the Python code that registers
fake kernels for them (``operator torchvision::nms does not exist``, then ``qnms``). Declaring the
two schemas beforehand is enough: captioning uses no detection operator. A matching pair of wheels
loads its own operators and needs nothing, so nothing is declared there.

``timm`` imports torchvision, so this module comes before either of them.
"""

import importlib.util
import sys
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: torch.library.Library | None = None


def _operators_load() -> bool:
    """Whether torchvision's compiled operators load beside the installed torch."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "torchvision is not installed, and the encoders need it: "
            "install the 'train' dependencies (make train does)."
        )
    binaries = sorted(Path(spec.origin).parent.glob("_C*.so"))
    if not binaries:
        return False
    try:
        torch.ops.load_library(str(binaries[0]))
    except OSError:
        return False
    return True


def prepare_torchvision() -> None:
    """Declare the schemas that torchvision's import expects, only where its binary cannot."""
    global _library
    if _library is not None or "torchvision" in sys.modules or _operators_load():
        return
    _library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        _library.define(schema)
