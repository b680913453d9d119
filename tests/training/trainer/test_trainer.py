"""A training run: stopping, going on, and what ends it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.drawn import drawings
from training.data.splits import DataError, Example, Split
from training.metrics import coco
from training.model.captioner import Captioner
from training.trainer import checkpoint, epochs
from training.trainer.checkpoint import CheckpointError
from training.trainer.config import TrainConfig
from training.trainer.optimisation import Optimisation, TrainingError
from training.trainer.phases import plan
from training.trainer.start import read_start
from training.trainer.trainer import Position, Trainer, blend

SMALL: dict[str, Any] = {
    "encoder": "tiny",
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


@pytest.fixture(scope="module", autouse=True)
def _steady_scores() -> Iterator[None]:
    """Scores without Java, and a CIDEr that grows whenever the loss falls."""

    def split(captions: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        return {name: list(each) for name, each in captions.items()}

    plain = Trainer._evaluate

    def evaluate(*arguments: Any) -> dict[str, float]:
        record = plain(*arguments)
        return {**record, "cider": 1 / record["loss_dev"]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco, "tokenise_ptb", split)
        patch.setattr(Trainer, "_evaluate", evaluate)
        yield


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    folder = tmp_path_factory.mktemp("pictures")

    def examples(place: int) -> list[Example]:
        return [Example(d.save(folder), d.captions, d.name) for d in drawings([place])]

    return {"train": examples(-6) + examples(6), "dev": examples(0), "test": []}


@pytest.fixture
def make(splits: Splits, tmp_path: Path) -> Callable[..., Trainer]:
    """Make a trainer in the test's own folder."""

    def build(
        run: str = "run", *, data: Splits = splits, strict: bool = False, **options: Any
    ) -> Trainer:
        config = TrainConfig(**{**SMALL, **options})
        cache, device = tmp_path / "cache", torch.device("cpu")
        return Trainer(config, data, tmp_path / run, cache, device=device, strict=strict)

    return build


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


def test_phases_without_epochs_are_left_out() -> None:
    phases = plan(TrainConfig(epochs=0, finetune_epochs=3, scst_epochs=1, train_encoder=True))
    assert [(p.name, p.epochs, p.self_critical) for p in phases] == [
        ("fine-tuning", 3, False),
        ("self-critical", 1, True),
    ]
    assert plan(TrainConfig(train_encoder=True))[0].encoder_stages > 100
    assert plan(TrainConfig())[0].encoder_stages == 0


@pytest.mark.parametrize("options", [PHASES, {**PHASES, "decoder": "lstm", "ema": 0.0}])
def test_a_seed_decides_a_run(make: Callable[..., Trainer], options: dict[str, Any]) -> None:
    first, second, other = make("a", **options), make("b", **options), make("c", seed=2, **options)
    for run in (first, second, other):
        run.fit()
    assert history(first.folder.path) == history(second.folder.path)
    assert equal(weights(first.folder.path / "last.pt"), weights(second.folder.path / "last.pt"))
    assert not equal(weights(first.folder.path / "last.pt"), weights(other.folder.path / "last.pt"))


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


KILLS = [
    *((kill_at_step, step) for step in (2, STEPS + 2, 2 * STEPS + 1, 3 * STEPS + 3)),
    *((kill_at_step, step) for step in (4 * STEPS + 1, 5 * STEPS + 2)),
    *((kill_at_writing, name, epoch) for name in ("best.pt", "last.pt") for epoch in (2, 3)),
    (kill_at_writing, "last.pt", 5),
]


@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: "-".join(map(str, kill[1:])))
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


def test_a_phase_starts_from_the_best_weights(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(finetune_epochs=1, finetune_lr=0.0, encoder_lr=0.0, weight_decay=0.0)
    record = {"loss_dev": 1.0, "cider": 1.0}
    ciders = iter([0.9, 0.3, 0.1])
    monkeypatch.setattr(run, "_evaluate", lambda *_: {**record, "cider": next(ciders)})
    run.fit()
    best, last = weights(run.folder.path / "best.pt"), weights(run.folder.path / "last.pt")
    assert equal(best, last)  # the second phase moved nothing, and began where best.pt is
    assert run.position.best == 0.9


def test_a_phase_ends_early_without_progress(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(epochs=50, finetune_epochs=50, patience=2)
    ciders = iter([0.1, 0.5, 0.4, 0.5, 0.2, 0.6, 0.6, 0.3])
    monkeypatch.setattr(run, "_evaluate", lambda *_: {"loss_dev": 1.0, "cider": next(ciders)})
    run.fit()
    # Phase 1: no better than 0.5 for two epochs. Phase 2: 0.2; 0.6 is better; two more epochs.
    assert [line["phase"] for line in history(run.folder.path)] == ["cross-entropy"] * 4 + [
        "fine-tuning"
    ] * 4
    assert run.position == Position(1, 4, 8, 0.6, 2, run.position.seconds)
    kept = checkpoint.read(run.folder.path / "best.pt")["training"]["position"]
    assert (kept["total_epochs"], kept["best"]) == (6, 0.6)


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

    def watched(speaker: Any, features: Tensor, inputs: Tensor, share: float) -> Tensor:
        shares.append(share)
        return plain(speaker, features, inputs, share)

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
    run = make("strict", epochs=1, data=data, strict=True)
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


def test_blend_interpolates_what_changed_and_keeps_the_rest() -> None:
    mask = torch.tensor([0.0, -math.inf])
    before = {"weight": torch.tensor([1.0, 2.0]), "mask": mask, "steps": torch.tensor(7)}
    after = {"weight": torch.tensor([2.0, 4.0]), "mask": mask.clone(), "steps": torch.tensor(7)}
    mixed = blend(before, after, 0.25)
    assert mixed["weight"].tolist() == [1.25, 2.5]
    assert mixed["mask"].tolist() == [0.0, -math.inf]
    assert mixed["steps"] == 7


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_self_critical_epochs_are_judged_mixed_with_what_was_before(
    make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    run = make(**PHASES, scst_share=share)
    judged: list[dict[str, Tensor]] = []
    plain = run._evaluate

    def watched(model: Captioner, *arguments: Any) -> dict[str, float]:
        judged.append({name: value.clone() for name, value in model.state_dict().items()})
        record = plain(model, *arguments)
        return {**record, "cider": float(len(judged))}  # each better than the one before

    monkeypatch.setattr(run, "_evaluate", watched)
    run.fit()
    before = weights(run.folder.path / "before-scst.pt")
    average = checkpoint.read(run.folder.path / "last.pt")["optimisation"]["average"]
    after = {name: average[f"module.{name}"] for name in before}
    assert not equal(before, after)
    assert equal(before, judged[3])  # the best of the four epochs before
    assert equal(judged[5], blend(before, after, share))
    assert equal(weights(run.folder.path / "best.pt"), judged[5])


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
