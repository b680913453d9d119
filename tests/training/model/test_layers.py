"""Strided depthwise convolutions, which give what timm's do, and dropout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.common.torchvision_compat import prepare_torchvision
from training.model.layers import Dropout, StridedDepthwise

CHANNELS = 6


def pair(kernel: int) -> tuple[torch.nn.Conv2d, StridedDepthwise]:
    """timm's own convolution with TensorFlow's padding, and ours in its place."""
    prepare_torchvision()
    from timm.layers.conv2d_same import Conv2dSame

    theirs = Conv2dSame(CHANNELS, CHANNELS, kernel, stride=2, groups=CHANNELS, bias=False)
    theirs.requires_grad_(False)
    return theirs, StridedDepthwise.like(theirs).requires_grad_(False)


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


@pytest.mark.parametrize("p", [0.0, 0.2, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_drops_its_share_and_keeps_the_mean(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(50, 7, 301, dtype=dtype, requires_grad=True)
    y = Dropout(p)(x)
    assert y.dtype == dtype
    assert y.shape == x.shape
    dropped = y == 0
    assert dropped.float().mean().item() == pytest.approx(p, abs=0.01)
    if p < 1:
        assert y[~dropped].float().mean().item() == pytest.approx(1 / (1 - p), rel=0.01)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 0, dropped)


def test_every_call_drops_others_and_a_seed_decides_which() -> None:
    x, layer = torch.ones(10, 100), Dropout(0.5)
    torch.manual_seed(1)
    first, second = layer(x), layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)
    # Neighbours share a random number of 64 bits, and must not share its fate.
    assert 0.4 < (first.flatten()[1:] == first.flatten()[:-1]).float().mean() < 0.6


def test_outside_of_training_nothing_is_dropped() -> None:
    x = torch.randn(3, 5)
    layer = Dropout(0.5).eval()
    assert torch.equal(layer(x), x)
    assert torch.equal(torch.jit.script(layer)(x), x)
