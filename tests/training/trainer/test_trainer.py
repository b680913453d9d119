"""A training run: stopping, going on, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.trainer.runs import PHASES, SMALL, STEPS, Splits, equal, history, weights
from training.data.splits import DataError, Example
from training.trainer import checkpoint, epochs
from training.trainer.config import TrainConfig
from training.trainer.optimisation import TrainingError
from training.trainer.start import read_start
from training.trainer.trainer import Trainer


@pytest.mark.parametrize("options", [PHASES, {**PHASES, "decoder": "lstm", "ema": 0.0}])
def test_a_seed_decides_a_run(make: Callable[..., Trainer], options: dict[str, Any]) -> None:
    first, second, other = make("a", **options), make("b", **options), make("c", seed=2, **options)
    for run in (first, second, other):
        run.fit()
    assert history(first.folder.path) == history(second.folder.path)
    assert equal(weights(first.folder.path / "last.pt"), weights(second.folder.path / "last.pt"))
    assert not equal(weights(first.folder.path / "last.pt"), weights(other.folder.path / "last.pt"))


def test_a_start_is_judged_and_never_made_worse(
    make: Callable[..., Trainer], splits: Splits, tmp_path: Path
) -> None:
    first = make("first")
    first.fit()
    start = read_start(first.folder.path / "best.pt")
    config = TrainConfig(**{**SMALL, "lr": 10.0, "epochs": 1, "clip": 0.0, "ema": 0.0})
    device = torch.device("cpu")
    spoilt = Trainer(config, splits, tmp_path / "run", tmp_path, device=device, start=start)
    position = spoilt.fit()
    assert position.before == position.best == pytest.approx(first.position.best)
    assert history(spoilt.folder.path)[0]["cider"] < position.best
    assert equal(weights(spoilt.folder.path / "best.pt"), start.weights)
    assert checkpoint.read(spoilt.folder.path / "best.pt")["training"]["start"] == "best.pt"


FAR = {"clip": 0.0, "ema": 0.0, "schedule": "constant"}


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"lr": 1e25}, "loss"),
        ({"lr": 1e25, "batch_size": 24}, "loss of the dev split"),  # after the epoch's only step
        ({"epochs": 0, "scst_epochs": 2, "scst_lr": 1e25}, "probability of a word"),
    ],
)
def test_a_loss_that_is_not_finite_ends_the_run(
    make: Callable[..., Trainer], options: dict[str, Any], what: str
) -> None:
    run = make(**FAR, **options)
    before = {name: value.clone() for name, value in run.captioner.state_dict().items()}
    with pytest.raises(TrainingError) as raised:
        run.fit()
    assert str(raised.value).startswith(f"The {what} became ")
    assert "Resume from the last checkpoint with a lower learning rate (--lr" in str(raised.value)
    assert equal(weights(run.folder.path / "last.pt"), before)  # what the run began with


@pytest.mark.parametrize("decoder", ["attention", "lstm"])
def test_scheduled_sampling_grows_to_its_limit(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch, decoder: str
) -> None:
    shares: list[float] = []
    plain = epochs._mix_own_words

    def watched(*arguments: Any) -> Tensor:
        shares.append(arguments[-1])
        return plain(*arguments)

    monkeypatch.setattr(epochs, "_mix_own_words", watched)
    options = {"sampling": 0.5, "sampling_step": 0.2, "sampling_every": 2}
    make(decoder=decoder, epochs=8, **options).fit()
    assert shares[:: 2 * STEPS] == pytest.approx([0.2, 0.4, 0.5])  # none in the first two epochs
    assert len(shares) == 6 * STEPS


def test_pictures_that_cannot_be_read_are_left_out(
    make: Callable[..., Trainer],
    splits: Splits,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    data: Splits = {**splits, "train": [*splits["train"], Example(bad, ("a dog",), "bad.png")]}
    run = make(epochs=1, finetune_epochs=1, data=data)
    run.fit()
    said = [r.message for r in caplog.records if "unreadable picture 'bad.png'" in r.message]
    assert len(said) == 2  # from features, and from the pictures themselves
    run = make("strict", epochs=1, data=data, more={"strict": True})
    with pytest.raises(DataError, match="unreadable picture 'bad.png'"):
        run.fit()


def empty_dev(splits: Splits, folder: Path) -> Splits:
    return {**splits, "dev": []}


def empty_train(splits: Splits, folder: Path) -> Splits:
    return {**splits, "train": []}


def unreadable_dev(splits: Splits, folder: Path) -> Splits:
    bad = folder / "bad.png"
    bad.write_text("no picture")
    return {**splits, "dev": [Example(bad, ("a dog",), "bad.png")]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (empty_dev, "needs a train and a dev split, but dev has no picture"),
        (empty_train, "needs a train and a dev split, but train has no picture"),
        (unreadable_dev, "No picture of the dev split can be read."),
    ],
)
def test_both_splits_must_have_pictures(
    make: Callable[..., Trainer], splits: Splits, tmp_path: Path, change: Any, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        make(data=change(splits, tmp_path)).fit()


def test_a_vocabulary_must_fill_the_widest_beam(make: Callable[..., Trainer]) -> None:
    with pytest.raises(DataError, match="Only 3 words occur at least 48 times.*--freq-threshold"):
        make(freq_threshold=48)
