"""Two processes under torchrun train as one does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.drawn import TAUGHT, write_kaggle
from training.trainer import checkpoint

# Nothing random but what all processes draw alike: the order of the pictures.
_OPTIONS = """
    --threads 1 --precision float32 --device cpu --encoder efficientnet_lite0 --image-size 32
    --freq-threshold 1 --embed-size 16 --hidden-size 16 --heads 2 --dropout 0 --embed-dropout 0
    --no-flips --crop 1 --views 1 --batch-size 8 --epochs 3 --lr 1e-2 --ema 0.5 --patience 0
    --finetune-epochs 1 --finetune-stages 2 --finetune-lr 1e-3 --beam-size 2 --max-length 8
"""
OPTIONS = _OPTIONS.split()


def train(processes: int, data: Path, output: Path, *options: str) -> list[dict[str, Any]]:
    """Run the command; returns its history."""
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    result = subprocess.run(
        [sys.executable, "-m", *(launcher if processes > 1 else ()), "training.train"]
        + ["--data", str(data), "--output", str(output), "--cache", str(output / "cache")]
        + [*OPTIONS, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stderr.count("Best dev CIDEr") == 1  # one process speaks for all
    return [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # 20 pictures: two batches of eight, and a last one of four.
    return write_kaggle(tmp_path_factory.mktemp("data"), train=TAUGHT[:20], dev=TAUGHT[20:26])


def test_two_processes_have_the_loss_curve_and_the_weights_of_one(
    data: Path, tmp_path: Path
) -> None:
    alone = train(1, data, tmp_path / "one", "--scst-epochs", "0")
    together = train(2, data, tmp_path / "two", "--scst-epochs", "0")
    assert [line["phase"] for line in together] == ["cross-entropy"] * 3 + ["fine-tuning"]
    for ours, theirs in zip(alone, together, strict=True):
        assert theirs["loss_train"] == pytest.approx(ours["loss_train"], rel=1e-4)
        assert theirs["loss_dev"] == pytest.approx(ours["loss_dev"], rel=1e-4)
    assert alone[0]["loss_train"] > alone[-1]["loss_train"] + 0.1  # something was learnt
    ours, theirs = (
        checkpoint.read(tmp_path / name / "last.pt")["model"] for name in ("one", "two")
    )
    for name, weights in ours.items():
        torch.testing.assert_close(theirs[name], weights, rtol=1e-3, atol=1e-4)


def test_self_critical_training_runs_in_two_processes(data: Path, tmp_path: Path) -> None:
    options = ["--scst-epochs", "1", "--finetune-epochs", "0", "--scst-mix", "0.1"]
    history = train(2, data, tmp_path / "run", *options)
    assert history[-1]["phase"] == "self-critical"
    assert 0 <= history[-1]["reward"] <= 10


def test_a_batch_must_divide_among_the_processes(data: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        + ["-m", "training.train", "--data", str(data), "--output", str(tmp_path / "run")]
        + [*OPTIONS, "--batch-size", "7"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "--batch-size must be a multiple of the 2 processes" in result.stderr
