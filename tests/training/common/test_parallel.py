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
from training import train
from training.common import parallel
from training.trainer import checkpoint

# Nothing random but what all processes draw alike: the order of the pictures.
_OPTIONS = """
    --threads 1 --precision float32 --device cpu --encoder efficientnet_lite0 --image-size 32
    --freq-threshold 1 --embed-size 16 --hidden-size 16 --heads 2 --dropout 0 --embed-dropout 0
    --no-flips --crop 1 --batch-size 8 --epochs 2 --lr 1e-2 --ema 0.5 --patience 0
    --finetune-epochs 1 --finetune-stages 2 --finetune-lr 1e-3 --beam-size 2 --max-length 8
"""
OPTIONS = _OPTIONS.split()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # 20 pictures: two batches of eight, and a last one of four.
    return write_kaggle(tmp_path_factory.mktemp("data"), train=TAUGHT[:20], dev=TAUGHT[20:26])


def options(data: Path, output: Path, *more: str) -> list[str]:
    places = ["--data", data, "--output", output, "--cache", output.with_name("cache")]
    return [*map(str, places), *OPTIONS, "--tags", "0", *more]  # which draw chance apart


def train_in_two(data: Path, output: Path, *more: str) -> None:
    """Run the command in two processes."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    result = subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "training.train", *options(data, output, *more)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stderr.count("Best dev CIDEr") == 1  # one process reports for all


def history(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_and_the_weights_of_one(
    data: Path, tmp_path: Path
) -> None:
    assert train.main(options(data, tmp_path / "one")) == 0
    # Self-critical training draws its own sentences in each process: it is compared up to there.
    train_in_two(data, tmp_path / "two", "--scst-epochs", "1", "--scst-mix", "0.1")
    alone, (*together, last) = history(tmp_path / "one"), history(tmp_path / "two")
    assert [line["phase"] for line in together] == ["cross-entropy"] * 2 + ["fine-tuning"]
    for ours, theirs in zip(alone, together, strict=True):
        assert theirs["loss_train"] == pytest.approx(ours["loss_train"], rel=1e-4)
        assert theirs["loss_dev"] == pytest.approx(ours["loss_dev"], rel=1e-4)
    assert alone[0]["loss_train"] > alone[-1]["loss_train"] + 0.1  # something was learnt
    ours = checkpoint.read(tmp_path / "one" / "best.pt")["model"]
    theirs = checkpoint.read(tmp_path / "two" / "before-scst.pt")["model"]
    for name, weights in ours.items():
        torch.testing.assert_close(theirs[name], weights, rtol=1e-3, atol=1e-4)
    assert last["phase"] == "self-critical"
    assert 0 <= last["reward"] <= 11


@pytest.mark.slow
def test_self_critical_training_is_resumed_in_two_processes(data: Path, tmp_path: Path) -> None:
    words = ["--scst-epochs", "3", "--scst-mix", "0.1", "--resume"]
    train_in_two(data, tmp_path / "run", *words)
    run = history(tmp_path / "run")
    assert [line["phase"] for line in run[3:]] == ["self-critical"] * 3
    train_in_two(data, tmp_path / "run", *words)  # which finds nothing left to do
    assert history(tmp_path / "run") == run


def test_a_batch_must_divide_among_the_processes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parallel, "world_size", lambda: 2)
    assert train.main(options(data, tmp_path / "run", "--batch-size", "7")) == 1
    assert "--batch-size must be a multiple of the 2 processes" in caplog.messages[-1]
