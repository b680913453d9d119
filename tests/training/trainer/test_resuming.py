"""Runs that were interrupted, and resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.trainer.runs import (
    PHASES,
    SMALL,
    STEPS,
    Killed,
    Splits,
    equal,
    history,
    kill_at_step,
    weights,
)
from training.trainer import checkpoint
from training.trainer.checkpoint import CheckpointError
from training.trainer.config import TrainConfig
from training.trainer.optimisation import TrainingError
from training.trainer.trainer import Trainer


def kill_at_writing(monkeypatch: pytest.MonkeyPatch, name: str, epoch: int) -> None:
    plain = checkpoint.save_atomically

    def counted(content: dict[str, Any], path: Path) -> None:
        if path.name == name and content["training"]["position"]["total_epochs"] == epoch:
            raise Killed
        plain(content, path)

    monkeypatch.setattr(checkpoint, "save_atomically", counted)


@pytest.fixture(scope="module")
def whole(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    config = TrainConfig(**{**SMALL, **PHASES})
    Trainer(config, splits, folder, folder / "cache", device=torch.device("cpu")).fit()
    return folder


# In epochs of all three phases; before best.pt is written, and between it and last.pt.
KILLS = [
    *((kill_at_step, step) for step in (2, 3 * STEPS + 3, 4 * STEPS + 1)),
    (kill_at_writing, "best.pt", 2),
    (kill_at_writing, "last.pt", 3),
]
MORE_KILLS = [
    *((kill_at_step, step) for step in (STEPS + 2, 2 * STEPS + 1, 5 * STEPS + 2)),
    *((kill_at_writing, name, epoch) for name, epoch in (("best.pt", 3), ("last.pt", 2))),
    (kill_at_writing, "last.pt", 5),
]
ALL_KILLS = [*KILLS, *(pytest.param(kill, marks=pytest.mark.slow) for kill in MORE_KILLS)]


@pytest.mark.parametrize("kill", ALL_KILLS, ids=lambda kill: "-".join(map(str, kill[1:])))
def test_a_killed_run_goes_on_to_the_same_end(
    make: Callable[..., Trainer], whole: Path, monkeypatch: pytest.MonkeyPatch, kill: Any
) -> None:
    with monkeypatch.context() as patch:
        kill[0](patch, *kill[1:])
        with pytest.raises(Killed):
            make(**PHASES).fit()
    again = make(**PHASES)
    assert again.fit(resume=True).total_epochs == 6
    assert [line["epoch"] for line in history(again.folder.path)] == [1, 2, 3, 4, 5, 6]
    assert history(again.folder.path) == history(whole)
    for name in ("best.pt", "last.pt"):
        found, expected = checkpoint.read(again.folder.path / name), checkpoint.read(whole / name)
        assert equal(found["model"], expected["model"])
        assert equal(found.get("optimisation"), expected.get("optimisation"))


def test_a_finished_run_is_left_as_it_is(make: Callable[..., Trainer]) -> None:
    run = make()
    run.fit()
    before = weights(run.folder.path / "last.pt")
    assert make().fit(resume=True).total_epochs == 2
    assert len(history(run.folder.path)) == 2
    assert equal(weights(run.folder.path / "last.pt"), before)


def test_a_new_run_in_the_same_folder_starts_a_new_history(make: Callable[..., Trainer]) -> None:
    make().fit()
    make(epochs=1, seed=5).fit()
    assert [line["epoch"] for line in history(make().folder.path)] == [1]


def test_with_nothing_to_resume_a_run_starts(make: Callable[..., Trainer]) -> None:
    run = make(epochs=1)
    run.fit(resume=True)
    assert [line["epoch"] for line in history(run.folder.path)] == [1]


def test_a_damaged_checkpoint_is_not_taken_for_none(make: Callable[..., Trainer]) -> None:
    run = make(epochs=1)
    run.folder.path.mkdir(parents=True, exist_ok=True)
    (run.folder.path / "last.pt").write_bytes(b"half of a checkpoint")
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be read"):
        run.fit(resume=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lr": 0.5}, "but lr differ. Repeat the options that started it."),
        ({"hidden_size": 32, "seed": 9}, "but hidden_size, seed differ."),
        ({"scst_epochs": 1}, "but scst_epochs differ."),
    ],
)
def test_other_options_are_not_resumed(
    make: Callable[..., Trainer], options: dict[str, Any], said: str
) -> None:
    run = make(epochs=1)
    run.fit()
    before = {path.name: path.read_bytes() for path in run.folder.path.iterdir() if path.is_file()}
    with pytest.raises(TrainingError) as raised:
        make(**{"epochs": 1, **options}).fit(resume=True)
    assert said in str(raised.value)
    after = {path.name: path.read_bytes() for path in run.folder.path.iterdir() if path.is_file()}
    assert after == before


def test_other_data_are_not_resumed(make: Callable[..., Trainer], splits: Splits) -> None:
    run = make(epochs=1)
    run.fit()
    before = (run.folder.path / "vocab.json").read_bytes()
    changed = dataclasses.replace(splits["train"][0], captions=("something else",))
    data: Splits = {**splits, "train": [changed, *splits["train"][1:]]}
    with pytest.raises(TrainingError, match="their vocabularies differ"):
        make(epochs=1, data=data).fit(resume=True)
    assert (run.folder.path / "vocab.json").read_bytes() == before
