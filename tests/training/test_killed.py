"""The real training command, killed as a machine that loses power would kill it, and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.drawn import drawings, write_kaggle
from training import train
from training.trainer import checkpoint

ROOT = Path(__file__).resolve().parents[2]
STEPS = 6  # an epoch: 24 pictures in batches of 4
OPTIONS = [
    *("--threads", "1", "--device", "cpu", "--precision", "float32", "--seed", "1"),
    *("--encoder", "efficientnet_lite0", "--image-size", "32", "--freq-threshold", "1"),
    *("--embed-size", "32", "--hidden-size", "32", "--heads", "2", "--dropout", "0.1"),
    *("--epochs", "3", "--finetune-epochs", "0", "--scst-epochs", "0", "--patience", "0"),
    *("--lr", "3e-2", "--batch-size", "4", "--ema", "0.5", "--beam-size", "1", "--max-length", "6"),
]
# What runs before the command, in its own process; `dies` ends that as abruptly as can be.
DIES = """
import io, os, runpy, signal
import torch
from training.trainer.optimisation import Optimisation
dies = lambda: os.kill(os.getpid(), signal.SIGKILL)
"""
IN_AN_EPOCH = f"""
step, taken = Optimisation.step, []
def counted(self, *arguments):
    taken.append(1)
    if len(taken) == {STEPS + 2}:
        dies()
    return step(self, *arguments)
Optimisation.step = counted
"""
# The checkpoint is written to whatever place it is written to, but only the first half of it.
IN_A_WRITE = """
save = torch.save
def half(content, place):
    name = str(getattr(place, "name", place))
    if "last." not in name or content["training"]["position"]["total_epochs"] < 2:
        return save(content, place)
    save(content, whole := io.BytesIO())
    file = place if hasattr(place, "write") else open(place, "wb")
    file.write(whole.getvalue()[: whole.tell() // 2])
    file.flush()
    dies()
torch.save = half
"""
COMMAND = "\nrunpy.run_module('training.train', run_name='__main__', alter_sys=True)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the data are, with the run ``whole``, which nothing interrupted."""
    folder = tmp_path_factory.mktemp("killed")
    write_kaggle(folder / "data", train=drawings([-6, 6]), dev=drawings([0]))
    assert train.main(words(folder, "whole")) == 0
    return folder


def words(folder: Path, name: str) -> list[str]:
    """The options of the run ``name``."""
    places = {"--data": "data", "--output": name, "--cache": "cache"}
    return [*(x for flag, place in places.items() for x in (flag, str(folder / place))), *OPTIONS]


def train_and_die(folder: Path, name: str, dies: str) -> None:
    """Run the command in a process that is killed where ``dies`` says."""
    done = subprocess.run(
        [sys.executable, "-c", DIES + dies + COMMAND, *words(folder, name)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]


def finished_epochs(path: Path) -> int:
    epochs: int = checkpoint.read(path)["training"]["position"]["total_epochs"]
    return epochs


def assert_resumes(folder: Path, name: str) -> None:
    """The run ``name`` goes on, and ends as the whole one did."""
    assert train.main([*words(folder, name), "--resume"]) == 0
    run, whole = folder / name, folder / "whole"
    assert (run / "history.jsonl").read_bytes() == (whole / "history.jsonl").read_bytes()
    for each in ("best.pt", "last.pt"):
        assert finished_epochs(run / each) == finished_epochs(whole / each)
        found, expected = checkpoint.read(run / each), checkpoint.read(whole / each)
        torch.testing.assert_close(found["model"], expected["model"], rtol=0, atol=0)
    assert {path.name for path in run.iterdir()} == {path.name for path in whole.iterdir()}


def test_killed_in_an_epoch(folder: Path) -> None:
    train_and_die(folder, "epoch", IN_AN_EPOCH)
    run = folder / "epoch"
    assert finished_epochs(run / "last.pt") == 1
    assert_resumes(folder, "epoch")


@pytest.mark.slow
def test_killed_while_it_writes_a_checkpoint(folder: Path) -> None:
    train_and_die(folder, "write", IN_A_WRITE)
    run = folder / "write"
    whole = (folder / "whole" / "last.pt").stat().st_size
    (half,) = (path for path in run.iterdir() if path.suffix not in (".pt", ".json", ".jsonl", ""))
    assert 0.4 * whole < half.stat().st_size < 0.6 * whole
    assert finished_epochs(run / "last.pt") == 1  # the one from before, in one piece
    assert len((run / "history.jsonl").read_text().splitlines()) == 2
    assert_resumes(folder, "write")
