"""What moves the weights: optimiser, learning rate, averaging, mixed precision."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel

from training.common import parallel
from training.common.errors import UserError
from training.trainer.config import TrainConfig

Autocast = AbstractContextManager[None]

WARM_UP = 0.1  # share of the steps over which the learning rate rises


class TrainingError(UserError):
    """Training cannot go on; the message says why and what to change."""


def check_finite(what: str, value: float) -> None:
    """Stop training, with advice, when ``value`` is infinite or not a number."""
    if not math.isfinite(value):
        raise TrainingError(
            f"The {what} became {value}. Resume from the last checkpoint with a lower learning "
            "rate (--lr, --finetune-lr, --scst-lr) or with --precision float32."
        )


@dataclass(frozen=True)
class Optimisation:
    """What a step of either objective needs besides the model and the data."""

    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    average: AveragedModel | None
    clip: float
    device: torch.device
    autocast: Callable[[], Autocast]

    def step(self, loss: Tensor, model: nn.Module) -> float:
        """Back-propagate a finite loss and move the weights; returns its mean over processes."""
        value = float(parallel.total(loss)) / parallel.world_size()
        check_finite("loss", value)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.clip:
            clip_grad_norm_((p for p in model.parameters() if p.requires_grad), self.clip)
        self.optimizer.step()
        self.scheduler.step()
        if self.average is not None:
            self.average.update_parameters(model)
        return value

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs, for a checkpoint."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over what ``state`` returned."""
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scheduler.load_state_dict(saved["scheduler"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])


def build_optimisation(
    model: nn.Module,
    groups: list[tuple[Iterable[nn.Parameter], float]],
    config: TrainConfig,
    device: torch.device,
    *,
    steps: int,
    constant: bool = False,
) -> Optimisation:
    """AdamW (Loshchilov & Hutter, 2019; Adam without weight decay) and what goes with it.

    Args:
        groups: parameters with their learning rates; frozen parameters are left out.
        steps: of the whole phase, for the schedule.
        constant: keep the learning rate as it is, whatever the configuration says.
    """
    trained = [([p for p in parameters if p.requires_grad], lr) for parameters, lr in groups]
    optimizer = torch.optim.AdamW(
        [{"params": parameters, "lr": lr} for parameters, lr in trained if parameters],
        weight_decay=config.weight_decay,
    )
    constant = constant or config.schedule == "constant"
    shape = partial(learning_rate, total=steps, constant=constant)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
    ema = config.ema
    average = AveragedModel(model, avg_fn=partial(_average, decay=ema)) if ema else None
    autocast = autocast_for(config.precision, device)
    return Optimisation(optimizer, scheduler, average, config.clip, device, autocast)


def _average(mean: Tensor, current: Tensor, updates: Tensor | int, *, decay: float) -> Tensor:
    """Exponential moving average whose decay grows, so that it soon forgets where it began."""
    return mean.lerp(current, 1 - min(decay, (1 + float(updates)) / (10 + float(updates))))


def blend(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """State dicts interpolated: ``share`` of ``after``, the rest of ``before``."""
    return {
        # What did not change is taken as it is: masks hold infinities, counters are whole numbers.
        name: new if torch.equal(before[name], new) else before[name].lerp(new, share)
        for name, new in after.items()
    }


def learning_rate(step: int, *, total: int, constant: bool) -> float:
    """Factor on the learning rate: a linear warm-up, then a cosine down to nothing."""
    if constant:
        return 1.0
    warm_up = max(1, round(WARM_UP * total))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))


def autocast_for(precision: str, device: torch.device) -> Callable[[], Autocast]:
    """Mixed precision where the hardware multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = precision == "auto" and cpu_gains_from_bfloat16()
    enabled = precision == "bfloat16" or (precision == "auto" and fast)
    return partial(torch.autocast, device.type, torch.bfloat16, enabled=enabled)


@cache
def cpu_gains_from_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 clearly faster than float32: tried once, in 0.1 s.

    Its instructions alone do not show it: an Intel Xeon with AVX-512 bfloat16, but without AMX,
    takes 1.7 times as long with them as without.
    """
    abilities = torch.cpu.get_capabilities()
    if not (abilities.get("avx512_bf16") or abilities.get("amx_bf16")):
        return False
    single = torch.ones(512, 1024), torch.ones(1024, 1024)
    half = single[0].bfloat16(), single[1].bfloat16()
    times = [(_seconds(*half), _seconds(*single)) for _ in range(6)]
    (_, *halves), (_, *singles) = zip(*times, strict=True)  # the first only warms up
    return bool(min(halves) < 0.8 * min(singles))


def _seconds(rows: Tensor, weights: Tensor) -> float:
    started = time.perf_counter()
    F.linear(rows, weights)
    return time.perf_counter() - started
