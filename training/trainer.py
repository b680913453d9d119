"""A training run: its phases, its epochs, what it keeps on disk and how it goes on."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from handler.options import MAX_BEAM_SIZE
from handler.text import SPECIALS
from training import checkpoint
from training.captioner import Captioner
from training.config import TrainConfig
from training.data import (
    SPLIT_FILES,
    CaptionDataset,
    DataError,
    Example,
    Problems,
    Split,
    drop_unreadable,
    get_loader,
)
from training.engine import (
    caption_split,
    print_examples,
    train_one_epoch,
    train_one_epoch_self_critical,
    validation_loss,
)
from training.features import FeatureStore, feature_store
from training.metrics import QUICK, CocoScorer
from training.optimisation import (
    Optimisation,
    TrainingError,
    build_optimisation,
    check_finite,
)
from training.reward import CiderReward
from training.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

BEFORE = "before-scst.pt"
EXAMPLES = 4  # pictures captioned for TensorBoard


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs with one objective and one set of trainable weights."""

    name: str
    epochs: int
    lr: float
    encoder_stages: int  # of the encoder's end that are trained; 0: none
    self_critical: bool = False


def plan(config: TrainConfig) -> list[Phase]:
    """The phases of a run, in order, without the empty ones."""
    everything = 1_000 if config.train_encoder else 0
    phases = [
        Phase("cross-entropy", config.epochs, config.lr, everything),
        Phase("fine-tuning", config.finetune_epochs, config.finetune_lr, config.finetune_stages),
        Phase("self-critical", config.scst_epochs, config.scst_lr, 0, self_critical=True),
    ]
    return [phase for phase in phases if phase.epochs]


def blend(
    before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """State dicts interpolated: ``share`` of ``after``, the rest of ``before``."""
    return {
        # What did not change is taken as it is: masks hold infinities, counters are whole numbers.
        name: new if torch.equal(before[name], new) else before[name].lerp(new, share)
        for name, new in after.items()
    }


@dataclass(frozen=True)
class PhaseData:
    """The loaders of one phase and the data sets behind them."""

    train: DataLoader[Any]
    train_set: CaptionDataset
    dev: DataLoader[Any]
    dev_set: CaptionDataset


@dataclass
class Position:
    """Where a run stands; saved with every checkpoint."""

    phase: int = 0
    epoch: int = 0  # finished epochs of this phase
    total_epochs: int = 0  # finished epochs of all phases
    best: float = -math.inf  # dev CIDEr of best.pt
    since_best: int = 0  # epochs
    seconds: float = 0.0  # spent on finished epochs


class Trainer:
    """Trains a captioner in ``output``: best.pt, last.pt, vocab.json, config.json, history.jsonl.

    Args:
        splits: at least ``train`` and ``dev``.
        output: folder of the run.
        cache: folder of the feature cache.
    """

    def __init__(
        self,
        config: TrainConfig,
        splits: dict[Split, list[Example]],
        output: Path,
        cache: Path,
        *,
        device: torch.device,
        strict: bool = False,
    ) -> None:
        self.config = config
        self.splits = splits
        self.output = output
        self.cache = cache
        self.device = device
        self.strict = strict
        for split in ("train", "dev"):
            if not splits[split]:
                raise DataError(
                    f"Training needs a train and a dev split, but {split} has no picture. Add "
                    f"pictures (a hash of their names divides them), or name the pictures of "
                    f"each split in {SPLIT_FILES['train']} and {SPLIT_FILES['dev']}."
                )
        self.vocabulary = Vocabulary(config.freq_threshold).build(
            caption for example in splits["train"] for caption in example.captions
        )
        words = len(self.vocabulary) - len(SPECIALS)
        if words < MAX_BEAM_SIZE:  # a beam needs as many first words as it is wide
            raise DataError(
                f"Only {words} words occur at least {config.freq_threshold} times in the training "
                f"captions, and a captioner needs {MAX_BEAM_SIZE}. Lower --freq-threshold, or add "
                "captions."
            )
        torch.manual_seed(config.seed)
        self.captioner = checkpoint.build_captioner(config, len(self.vocabulary)).to(device)
        self.position = Position()

    def fit(self, *, resume: bool = False) -> Position:
        """Train all phases, or what is left of them; returns where the run ended."""
        saved = self._restore() if resume else None
        self._prepare_output()
        with SummaryWriter(str(self.output / "tensorboard")) as writer:
            for number, phase in enumerate(plan(self.config)):
                if number >= self.position.phase:
                    self._run_phase(number, phase, saved, writer)
                    saved = None
        return self.position

    def _prepare_output(self) -> None:
        """Write what describes the run; of an earlier history, only finished epochs are kept."""
        self.output.mkdir(parents=True, exist_ok=True)
        self.vocabulary.save(self.output / "vocab.json")
        self.config.save(self.output / "config.json")
        history = self.output / "history.jsonl"
        lines = history.read_text(encoding="utf-8").splitlines(True) if history.exists() else []
        history.write_text("".join(lines[: self.position.total_epochs]), encoding="utf-8")

    def _run_phase(
        self, number: int, phase: Phase, saved: dict[str, Any] | None, writer: SummaryWriter
    ) -> None:
        if number > self.position.phase:
            self._start_from_best(number)
        self.captioner.encoder.release(phase.encoder_stages)
        data = self._load(phase)
        optimisation = self._optimisation(phase, len(data.train))
        if saved is not None:
            optimisation.restore(saved["optimisation"])
        else:  # so that a run resumed in this phase starts from the same weights, not a later best
            self._save_last(optimisation)
        reward = CiderReward(data.train_set.tokens) if phase.self_critical else None
        scorer = CocoScorer({e.name: e.captions for e in data.dev_set.examples})
        while self.position.epoch < phase.epochs and not self._out_of_patience():
            started = time.monotonic()
            mean = self._train_epoch(phase, data, optimisation, reward, writer)
            average = optimisation.average
            model = self.captioner if average is None else cast(Captioner, average.module)
            record = self._evaluate(model, data, scorer)
            self.position.seconds += time.monotonic() - started
            record["reward" if phase.self_critical else "loss_train"] = mean
            self._finish_epoch(phase, model, optimisation, record, writer)
        if phase.self_critical and self.config.scst_share < 1:
            self._blend(data, scorer)

    def _out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.position.since_best

    def _train_epoch(
        self,
        phase: Phase,
        data: PhaseData,
        optimisation: Optimisation,
        reward: CiderReward | None,
        writer: SummaryWriter,
    ) -> float:
        """Train one epoch and return its mean loss, or mean reward."""
        # Every epoch has its own seed, so a resumed run draws what the whole one would have drawn.
        seed = self.config.seed * 1_000_003 + self.position.total_epochs
        torch.manual_seed(seed)
        cast(torch.Generator, data.train.generator).manual_seed(seed)
        first_step = self.position.epoch * len(data.train)
        shown = data.dev_set.examples[:EXAMPLES]
        values = []
        for number, value in enumerate(self._steps(phase, data.train, optimisation, reward)):
            step = first_step + number
            values.append(value)
            writer.add_scalar(f"{phase.name}/step", value, step)
            if step % self.config.examples_every == 0:
                pictures = torch.stack([data.dev_set[i][0] for i in range(len(shown))])
                text = print_examples(
                    self.captioner, pictures.to(self.device), shown, self.vocabulary
                )
                writer.add_text(f"{phase.name}/examples", text, step)
        return sum(values) / len(values)

    def _steps(
        self,
        phase: Phase,
        loader: DataLoader[Any],
        optimisation: Optimisation,
        reward: CiderReward | None,
    ) -> Iterator[float]:
        config = self.config
        if reward is not None:
            return train_one_epoch_self_critical(
                self.captioner,
                loader,
                optimisation,
                reward,
                samples=config.scst_samples,
                max_length=config.max_length,
            )
        growths = self.position.total_epochs // config.sampling_every
        return train_one_epoch(
            self.captioner,
            loader,
            optimisation,
            label_smoothing=config.label_smoothing,
            sampling=min(config.sampling, config.sampling_step * growths),
        )

    def _evaluate(self, model: Captioner, data: PhaseData, scorer: CocoScorer) -> dict[str, float]:
        loss = validation_loss(model, data.dev, self.device)
        check_finite("loss of the dev split", loss)
        captions = caption_split(
            model,
            data.dev,
            data.dev_set,
            self.device,
            beam_size=self.config.beam_size,
            max_length=self.config.max_length,
        )
        return {"loss_dev": loss, **scorer(captions, QUICK)}

    def _finish_epoch(
        self,
        phase: Phase,
        model: Captioner,
        optimisation: Optimisation,
        record: dict[str, float],
        writer: SummaryWriter,
    ) -> None:
        """Log an epoch, and write best.pt and last.pt."""
        position = self.position
        position.epoch += 1
        position.total_epochs += 1
        better = record["cider"] > position.best
        position.best = max(position.best, record["cider"])
        position.since_best = 0 if better else position.since_best + 1
        for name, value in record.items():
            writer.add_scalar(f"epoch/{name}", value, position.total_epochs)
        line = {"epoch": position.total_epochs, "phase": phase.name, **record}
        with (self.output / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        logger.info(
            "epoch %d (%s): %s%s",
            position.total_epochs,
            phase.name,
            " ".join(f"{name} {value:.4f}" for name, value in record.items()),
            " *" if better else "",
        )
        if better:
            checkpoint.save_atomically(self._content(model), self.output / "best.pt")
        self._save_last(optimisation)

    def _save_last(self, optimisation: Optimisation) -> None:
        last = {**self._content(self.captioner), "optimisation": optimisation.state()}
        checkpoint.save_atomically(last, self.output / "last.pt")

    def _content(self, model: Captioner) -> dict[str, Any]:
        return {
            "model": model.state_dict(),
            "itos": self.vocabulary.itos,
            "config": dataclasses.asdict(self.config),
            "training": {
                "position": dataclasses.asdict(self.position),
                "pictures": {split: len(examples) for split, examples in self.splits.items()},
            },
        }

    def _restore(self) -> dict[str, Any]:
        saved = checkpoint.read(self.output / "last.pt")
        if saved["config"] != dataclasses.asdict(self.config):
            changed = [k for k, v in saved["config"].items() if v != getattr(self.config, k, None)]
            raise TrainingError(
                f"--resume continues the run in {self.output.name} with its own configuration, "
                f"but {', '.join(changed)} differ. Repeat the options that started it."
            )
        if saved["itos"] != self.vocabulary.itos:
            raise TrainingError(
                "--resume needs the data that the run started with, but their vocabularies differ."
            )
        self.captioner.load_state_dict(saved["model"])
        self.position = Position(**saved["training"]["position"])
        logger.info("Resuming after epoch %d.", self.position.total_epochs)
        return saved

    def _blend(self, data: PhaseData, scorer: CocoScorer) -> None:
        """Move best.pt back towards the weights from before self-critical training.

        Most of the metric's gain stays, and the fluency that chasing one metric costs comes back:
        the weights are interpolated as in Wortsman et al., CVPR 2022.
        """
        best = checkpoint.read(self.output / "best.pt")
        before = self.output / BEFORE
        if not before.exists() or "blended" in best["training"]:
            return  # nothing was trained before, or a resumed run had come to its end already
        weights = blend(checkpoint.read(before)["model"], best["model"], self.config.scst_share)
        self.captioner.load_state_dict(weights)
        record = self._evaluate(self.captioner, data, scorer)
        self.position.best = record["cider"]
        logger.info("blended: %s", " ".join(f"{name} {v:.4f}" for name, v in record.items()))
        content = self._content(self.captioner)
        content["training"]["blended"] = self.config.scst_share
        checkpoint.save_atomically(content, self.output / "best.pt")

    def _start_from_best(self, number: int) -> None:
        best = checkpoint.read(self.output / "best.pt")
        if plan(self.config)[number].self_critical:
            checkpoint.save_atomically(best, self.output / BEFORE)
        self.captioner.load_state_dict(best["model"])
        self.position.phase, self.position.epoch, self.position.since_best = number, 0, 0

    def _load(self, phase: Phase) -> PhaseData:
        """Loaders of the train and dev splits: of features, unless the encoder is trained."""
        store = None if phase.encoder_stages else self._features()
        options: dict[str, Any] = {
            "features": store,
            "image_size": self.captioner.image_size,
            "batch_size": self.config.batch_size,
            "max_tokens": self.config.max_tokens,
        }
        train, dev = (self._usable(self.splits[split], store) for split in ("train", "dev"))
        if not train or not dev:
            raise DataError("No picture of the train split, or none of the dev split, can be read.")
        return PhaseData(
            *get_loader(train, self.vocabulary, shuffle=True, augment=self.config.flips, **options),
            *get_loader(dev, self.vocabulary, **options),
        )

    def _usable(self, examples: list[Example], store: FeatureStore | None) -> list[Example]:
        """The examples whose pictures can be read; the others are reported."""
        if store is None:
            return drop_unreadable(examples, self.captioner.image_size, strict=self.strict)
        problems = Problems(self.strict)
        for example in examples:
            if example.name in store.unreadable:
                why = store.unreadable[example.name]
                problems.add(f"unreadable picture {example.name!r} ({why})")
        problems.report("pictures")
        return [example for example in examples if example.name in store.rows]

    def _features(self) -> FeatureStore:
        return feature_store(
            self.captioner.encoder,
            self.config.encoder,
            self.splits["train"] + self.splits["dev"],
            self.cache,
            views=2 if self.config.flips else 1,
            device=self.device,
        )

    def _optimisation(self, phase: Phase, steps_per_epoch: int) -> Optimisation:
        config = self.config
        return build_optimisation(
            self.captioner,
            [
                (self.captioner.decoder.parameters(), phase.lr),
                (self.captioner.encoder.parameters(), config.encoder_lr),
            ],
            steps=phase.epochs * steps_per_epoch,
            constant=phase.self_critical or config.schedule == "constant",
            weight_decay=config.weight_decay,
            clip=config.clip,
            ema=config.ema,
            precision=config.precision,
            device=self.device,
        )
