"""What moves the weights: the learning rate, clipping, averaging, mixed precision."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from training.trainer import optimisation
from training.trainer.config import TrainConfig
from training.trainer.optimisation import (
    Optimisation,
    TrainingError,
    autocast_for,
    blend,
    build_optimisation,
    check_finite,
    cpu_gains_from_bfloat16,
    learning_rate,
)


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, total=100, constant=False) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == max(rates) == 1.0
    assert all(a < b for a, b in itertools.pairwise(rates[:10]))
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert 0 < rates[-1] < 0.001
    assert {learning_rate(step, total=100, constant=True) for step in (0, 50, 99)} == {1.0}
    assert learning_rate(0, total=1, constant=False) == 1.0


def optimise(model: nn.Module, **options: float) -> Optimisation:
    plain = {"weight_decay": 0.0, "clip": 0.0, "ema": 0.0}
    config = TrainConfig(schedule="constant", precision="float32", **{**plain, **options})  # type: ignore[arg-type]
    groups = [(model.parameters(), 0.1)]
    return build_optimisation(model, groups, config, torch.device("cpu"), steps=10)


def test_gradients_are_clipped() -> None:
    model = nn.Linear(2, 1)
    step = optimise(model, clip=0.5)
    step.step(1000 * model(torch.ones(1, 2)).sum(), model)
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
    assert norm == pytest.approx(0.5, abs=1e-4)


def test_the_average_follows_the_weights() -> None:
    model = nn.Linear(1, 1, bias=False)
    step = optimise(model, ema=0.5)
    seen = []
    for _ in range(4):
        step.step(model(torch.ones(1, 1)).sum(), model)
        seen.append(float(model.weight.detach()))
    expected = seen[0]
    for updates, value in enumerate(seen[1:], start=1):
        decay = min(0.5, (1 + updates) / (10 + updates))
        expected = decay * expected + (1 - decay) * value
    averaged = float(step.average.module.weight.detach())
    assert averaged == pytest.approx(expected, abs=1e-6)
    assert seen[-1] < averaged < seen[0]


def test_frozen_weights_are_not_optimised() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    model[0].requires_grad_(False)
    step = optimise(model)
    (group,) = step.optimizer.param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in model[1].parameters()]


@pytest.mark.parametrize(("precision", "dtype"), [("float32", "float32"), ("bfloat16", "bfloat16")])
def test_precision(precision: str, dtype: str) -> None:
    with autocast_for(precision, torch.device("cpu"))():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == getattr(torch, dtype)


@pytest.mark.parametrize(
    ("abilities", "half", "gains"),
    [
        ({"avx512_bf16": True}, 0.5, True),
        ({"amx_bf16": True}, 0.5, True),
        ({"avx512_bf16": True}, 0.95, False),  # no clear gain
        ({"avx512_bf16": True}, 1.7, False),  # an Intel Xeon whose AMX is hidden
        ({"avx2": True}, 0.5, False),  # without the instructions it is not even tried
    ],
)
def test_automatic_precision_is_the_faster_one(
    abilities: dict[str, bool], half: float, gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    monkeypatch.setattr(
        optimisation, "_seconds", lambda rows, _: half if rows.dtype == torch.bfloat16 else 1.0
    )
    monkeypatch.setattr(
        optimisation, "cpu_gains_from_bfloat16", cpu_gains_from_bfloat16.__wrapped__
    )
    with autocast_for("auto", torch.device("cpu"))():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if gains else torch.float32)


def test_a_processor_is_tried_once() -> None:
    cpu_gains_from_bfloat16.cache_clear()
    assert cpu_gains_from_bfloat16() == cpu_gains_from_bfloat16()
    assert cpu_gains_from_bfloat16.cache_info().misses == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_named(value: float) -> None:
    check_finite("loss", 0.0)
    with pytest.raises(TrainingError, match=f"The loss became {value}. Resume from the last"):
        check_finite("loss", value)


def test_blend_interpolates_what_changed_and_keeps_the_rest() -> None:
    mask = torch.tensor([0.0, -math.inf])
    before = {"weight": torch.tensor([1.0, 2.0]), "mask": mask, "steps": torch.tensor(7)}
    after = {"weight": torch.tensor([2.0, 4.0]), "mask": mask.clone(), "steps": torch.tensor(7)}
    mixed = blend(before, after, 0.25)
    assert mixed["weight"].tolist() == [1.25, 2.5]
    assert mixed["mask"].tolist() == [0.0, -math.inf]
    assert mixed["steps"] == 7
