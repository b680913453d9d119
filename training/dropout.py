"""Dropout whose mask is cheap to draw on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Dropout):
    """``nn.Dropout`` (Srivastava et al., 2014), at a fraction of its time on a CPU.

    PyTorch draws a number for every element there, one after another; a byte of it is enough. The
    share that is dropped is ``p`` rounded to a multiple of 1/256.
    """

    def forward(self, input: Tensor) -> Tensor:
        quick = self.training and self.p < 1 and input.device.type == "cpu"
        if not torch.jit.is_scripting() and quick:  # type: ignore[attr-defined]
            return _drop(input, self.p)
        return F.dropout(input, self.p, self.training)


def _drop(x: Tensor, p: float) -> Tensor:
    dropped = min(255, round(256 * p))  # of the 256 values of a byte
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
    return x * kept * (256 / (256 - dropped))
