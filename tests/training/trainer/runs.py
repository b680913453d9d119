"""Small runs of the trainer, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from training.data.splits import Example, Split
from training.trainer import checkpoint
from training.trainer.optimisation import Optimisation

SMALL: dict[str, Any] = {
    "encoder": "tiny",
    "tags": 0,
    "freq_threshold": 1,
    "embed_size": 16,
    "hidden_size": 16,
    "heads": 2,
    "batch_size": 8,
    "epochs": 2,
    "finetune_epochs": 0,
    "scst_epochs": 0,
    "patience": 0,
    "beam_size": 1,
    "max_length": 6,
    "precision": "float32",
}


PHASES = {
    **{"epochs": 2, "finetune_epochs": 2, "scst_epochs": 2, "finetune_stages": 1},
    **{"lr": 1e-2, "finetune_lr": 1e-2, "encoder_lr": 1e-2, "scst_lr": 1e-3, "ema": 0.5},
}


STEPS = 3  # an epoch: 24 pictures in batches of 8


Splits = dict[Split, list[Example]]


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def weights(path: Path) -> dict[str, Tensor]:
    return checkpoint.read(path)["model"]  # type: ignore[no-any-return]


def equal(left: Any, right: Any) -> bool:
    """Whether nested states are equal to the last bit."""
    if isinstance(left, Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


class Killed(BaseException):
    """The process was killed here."""


def kill_at_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    plain, taken = Optimisation.step, 0

    def counted(self: Optimisation, *arguments: Any) -> float:
        nonlocal taken
        taken += 1
        if taken == step:
            raise Killed
        return plain(self, *arguments)

    monkeypatch.setattr(Optimisation, "step", counted)
