"""Strided depthwise convolutions: what timm's give, with the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.common.torchvision_compat import prepare_torchvision
from training.model.layers import StridedDepthwise, take_place

CHANNELS = 6


def pair(kernel: int) -> tuple[torch.nn.Conv2d, StridedDepthwise]:
    """timm's own convolution with TensorFlow's padding, and ours in its place."""
    prepare_torchvision()
    from timm.layers.conv2d_same import Conv2dSame

    theirs = Conv2dSame(CHANNELS, CHANNELS, kernel, stride=2, groups=CHANNELS, bias=False)
    theirs.requires_grad_(False)
    return theirs, take_place(theirs).requires_grad_(False)


def gradients(conv: torch.nn.Conv2d, x: Tensor, down: Tensor) -> tuple[Tensor, Tensor | None]:
    x = x.clone().requires_grad_()
    conv.weight.grad = None
    conv(x).backward(down)
    assert x.grad is not None
    return x.grad, conv.weight.grad


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(14, 14), (15, 15), (9, 12)])
@pytest.mark.parametrize("trained", [False, True])
def test_output_and_gradients_are_those_of_timm_s(
    kernel: int, size: tuple[int, int], trained: bool
) -> None:
    torch.manual_seed(0)
    theirs, ours = pair(kernel)
    theirs.weight.requires_grad_(trained)
    ours.weight.requires_grad_(trained)
    x = torch.randn(3, CHANNELS, *size)
    expected = theirs(x)
    assert torch.allclose(ours(x), expected, atol=1e-6)
    down = torch.randn_like(expected)
    for found, wanted in zip(gradients(ours, x, down), gradients(theirs, x, down), strict=True):
        if wanted is None:
            assert found is None
        else:
            assert found is not None
            assert torch.allclose(found, wanted, atol=1e-5)


def test_mixed_precision_gives_a_gradient_of_the_input_s_own_type() -> None:
    torch.manual_seed(0)
    theirs, ours = pair(3)
    x = torch.randn(2, CHANNELS, 8, 8)
    down = torch.randn(2, CHANNELS, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = gradients(ours, x, down.bfloat16())
    expected, _ = gradients(theirs, x, down)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=0.05, rtol=0.05)


def test_it_compiles() -> None:
    theirs, ours = pair(5)
    x = torch.randn(2, CHANNELS, 14, 14)
    compiled = torch.jit.script(ours)
    assert torch.allclose(compiled(x), theirs(x), atol=1e-6)
    assert "PythonOp" not in str(compiled.graph)
