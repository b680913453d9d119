"""The phases of a run: what each one moves, keeps and begins with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.trainer.runs import PHASES, SMALL, Splits, equal, history, weights
from training.model.captioner import Captioner
from training.trainer import checkpoint
from training.trainer.config import TrainConfig
from training.trainer.folder import Position
from training.trainer.judging import Judge
from training.trainer.optimisation import blend
from training.trainer.phases import plan
from training.trainer.start import read_start
from training.trainer.trainer import Trainer


def test_phases_without_epochs_are_left_out() -> None:
    phases = plan(TrainConfig(epochs=0, finetune_epochs=3, scst_epochs=1, train_encoder=True))
    assert [(p.name, p.epochs, p.self_critical) for p in phases] == [
        ("fine-tuning", 3, False),
        ("self-critical", 1, True),
    ]
    assert plan(TrainConfig(train_encoder=True))[0].encoder_stages > 100
    assert plan(TrainConfig())[0].encoder_stages == 0


def test_a_phase_starts_from_the_best_weights(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(finetune_epochs=1, finetune_lr=0.0, encoder_lr=0.0, weight_decay=0.0)
    record = {"loss_dev": 1.0, "cider": 1.0}
    ciders = iter([0.9, 0.3, 0.1])
    monkeypatch.setattr(Judge, "_scores", lambda *_: {**record, "cider": next(ciders)})
    run.fit()
    best, last = weights(run.folder.path / "best.pt"), weights(run.folder.path / "last.pt")
    assert equal(best, last)  # the second phase moved nothing, and began where best.pt is
    assert run.position.best == 0.9


def test_a_phase_ends_early_without_progress(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(epochs=50, finetune_epochs=50, patience=2)
    ciders = iter([0.1, 0.5, 0.4, 0.5, 0.2, 0.6, 0.6, 0.3])
    monkeypatch.setattr(Judge, "_scores", lambda *_: {"loss_dev": 1.0, "cider": next(ciders)})
    run.fit()
    # Phase 1: no better than 0.5 for two epochs. Phase 2: 0.2; 0.6 is better; two more epochs.
    assert [line["phase"] for line in history(run.folder.path)] == ["cross-entropy"] * 4 + [
        "fine-tuning"
    ] * 4
    assert run.position == Position(1, 4, 8, 0.6, 2, run.position.seconds)
    kept = checkpoint.read(run.folder.path / "best.pt")["training"]["position"]
    assert (kept["total_epochs"], kept["best"]) == (6, 0.6)


def test_the_whole_encoder_is_trained_on_request(make: Callable[..., Trainer]) -> None:
    run = make(epochs=1, train_encoder=True, schedule="constant", encoder_lr=1e-2, ema=0.0)
    before = {n: v.clone() for n, v in run.captioner.encoder.state_dict().items()}
    run.fit()
    after = run.captioner.encoder.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    learnt = {name for name, _ in run.captioner.encoder.named_parameters()}
    assert moved == learnt  # all weights, and no statistics of BatchNorm
    assert not (run.folder.path.parent / "cache").exists()


def test_fine_tuning_moves_the_end_of_the_encoder(make: Callable[..., Trainer]) -> None:
    run = make(epochs=0, finetune_epochs=1, finetune_stages=1, encoder_lr=1e-2, ema=0.0)
    before = {n: v.clone() for n, v in run.captioner.encoder.state_dict().items()}
    run.fit()
    after = run.captioner.encoder.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("trunk.second.") for name in moved)


def test_without_fine_tuning_the_encoder_does_not_move(make: Callable[..., Trainer]) -> None:
    run = make(scst_epochs=1)
    before = {n: v.clone() for n, v in run.captioner.encoder.state_dict().items()}
    run.fit()
    assert equal(before, dict(run.captioner.encoder.state_dict()))


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_self_critical_epochs_are_judged_mixed_with_what_was_before(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    run = make(**PHASES, scst_share=share)
    judged: list[dict[str, Tensor]] = []
    plain = Judge._scores

    def watched(judge: Judge, model: Captioner) -> dict[str, float]:
        judged.append({name: value.clone() for name, value in model.state_dict().items()})
        scores = plain(judge, model)
        return {**scores, "cider": float(len(judged))}  # each better than the one before

    monkeypatch.setattr(Judge, "_scores", watched)
    run.fit()
    before = weights(run.folder.path / "before-scst.pt")
    average = checkpoint.read(run.folder.path / "last.pt")["optimisation"]["average"]
    after = {name: average[f"module.{name}"] for name in before}
    assert not equal(before, after)
    assert equal(before, judged[3])  # the best of the four epochs before
    assert equal(judged[5], blend(before, after, share))
    assert equal(weights(run.folder.path / "best.pt"), judged[5])


def test_the_weights_to_start_from_have_their_share_in_the_final_ones(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    make("before", epochs=1).fit()
    start = read_start(make("before").folder.path / "best.pt")
    run = make(epochs=1, scst_epochs=1, scst_share=1.0, init_share=0.25, more={"start": start})
    judged: list[dict[str, Tensor]] = []
    plain = Judge._scores

    def watched(judge: Judge, model: Captioner) -> dict[str, float]:
        judged.append({name: value.clone() for name, value in model.state_dict().items()})
        return {**plain(judge, model), "cider": float(len(judged))}

    monkeypatch.setattr(Judge, "_scores", watched)
    run.fit()
    average = checkpoint.read(run.folder.path / "last.pt")["optimisation"]["average"]
    after = {name: average[f"module.{name}"] for name in judged[0]}
    assert not equal(judged[0], after)
    assert equal(judged[-1], blend(judged[0], after, 0.75))
    assert equal(weights(run.folder.path / "best.pt"), judged[-1])


def test_self_critical_training_alone_is_not_mixed_with_untrained_weights(
    make: Callable[..., Trainer],
) -> None:
    make(epochs=1, scst_epochs=1).fit()  # leaves weights from before in the folder
    run = make(epochs=0, scst_epochs=1, seed=2)
    run.fit()
    average = checkpoint.read(run.folder.path / "last.pt")["optimisation"]["average"]
    best = weights(run.folder.path / "best.pt")
    assert equal(best, {name: average[f"module.{name}"] for name in best})


def test_self_critical_training_of_a_start_is_mixed_with_it(
    make: Callable[..., Trainer], splits: Splits, tmp_path: Path
) -> None:
    first = make("first")
    first.fit()
    start = read_start(first.folder.path / "best.pt")
    config = TrainConfig(**{**SMALL, "epochs": 0, "scst_epochs": 1})
    device = torch.device("cpu")
    Trainer(config, splits, tmp_path / "run", tmp_path, device=device, start=start).fit()
    assert equal(weights(tmp_path / "run" / "before-scst.pt"), start.weights)
