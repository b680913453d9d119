"""Dropout: the share it drops, the scale of the rest, and that it is none outside of training."""

from __future__ import annotations

import pytest
import torch

from training.model.layers import Dropout


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
