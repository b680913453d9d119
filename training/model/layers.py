"""Layers that are faster on a CPU than those that PyTorch and timm bring."""

from __future__ import annotations

from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class StridedDepthwise(nn.Conv2d):
    """A depthwise convolution with a stride and TensorFlow's padding.

    While an encoder is trained on a CPU, the filters being frozen, the gradient is computed here:
    PyTorch takes many times as long, and three of these took an eighth of the whole step.
    """

    @classmethod
    def like(cls, conv: nn.Conv2d) -> Self:
        """The layer that computes what ``conv`` does, with its weights."""
        sizes = cast(tuple[int, int], conv.kernel_size), cast(tuple[int, int], conv.stride)
        made = cls(conv.in_channels, conv.out_channels, *sizes, groups=conv.groups, bias=False)
        made.load_state_dict(conv.state_dict())
        return made

    def forward(self, input: Tensor) -> Tensor:
        padding = _same(input.shape[3], self.kernel_size[1], self.stride[1])
        padding += _same(input.shape[2], self.kernel_size[0], self.stride[0])
        x = F.pad(input, padding)
        quick = x.requires_grad and not self.weight.requires_grad and x.device.type == "cpu"
        if not torch.jit.is_scripting() and quick:  # type: ignore[attr-defined]
            return cast(Tensor, _FrozenStridedDepthwise.apply(x, self.weight, self.stride))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class _FrozenStridedDepthwise(torch.autograd.Function):
    """The gradient of a strided convolution is that of a plain one, of the same filters turned
    round, over the gradient with zeros between its cells."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
        y = F.conv2d(x, weight, None, stride, groups=len(weight))
        ctx.save_for_backward(weight.to(y.dtype))
        ctx.stride, ctx.shape = stride, x.shape
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        (rows, columns), (height, width) = weight.shape[2:], ctx.shape[2:]
        shape = (*ctx.shape[:2], height - rows + 1, width - columns + 1)
        sparse = torch.zeros(shape, dtype=weight.dtype).to(memory_format=torch.channels_last)
        sparse[:, :, :: ctx.stride[0], :: ctx.stride[1]] = gradients[0]
        padding = (rows - 1, columns - 1)
        turned = weight.flip(2, 3)
        return F.conv2d(sparse, turned, None, 1, padding, groups=len(weight)), None, None


def _same(size: int, kernel: int, stride: int) -> list[int]:
    """TensorFlow's padding 'SAME' of one dimension: before it and after it."""
    padding = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return [padding // 2, padding - padding // 2]


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
