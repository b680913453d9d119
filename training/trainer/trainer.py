"""A training run: its epochs, what it keeps on disk and how it goes on."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler

from handler.options import MAX_BEAM_SIZE
from handler.text import SPECIALS
from training.common import parallel
from training.data.splits import SPLIT_FILES, DataError, Example, Split
from training.data.vocabulary import Vocabulary
from training.metrics.coco import QUICK, CocoScorer
from training.model.captioner import Captioner
from training.trainer import checkpoint
from training.trainer.config import TrainConfig
from training.trainer.epochs import (
    CrossEntropy,
    SelfCritical,
    caption_split,
    print_examples,
    train_one_epoch,
    train_one_epoch_self_critical,
    validation_loss,
)
from training.trainer.folder import BEFORE, BEST, LAST, RunFolder
from training.trainer.optimisation import (
    Optimisation,
    TrainingError,
    build_optimisation,
    check_finite,
)
from training.trainer.phases import Phase, PhaseData, PhaseLoader, plan
from training.trainer.reward import Reward
from training.trainer.start import Start, take_over

logger = logging.getLogger(__name__)

EXAMPLES = 4  # pictures captioned for TensorBoard


def blend(
    before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """State dicts interpolated: ``share`` of ``after``, the rest of ``before``."""
    return {
        # What did not change is taken as it is: masks hold infinities, counters are whole numbers.
        name: new if torch.equal(before[name], new) else before[name].lerp(new, share)
        for name, new in after.items()
    }


@dataclass
class Position:
    """Where a run stands; saved with every checkpoint."""

    phase: int = 0
    epoch: int = 0  # finished epochs of this phase
    total_epochs: int = 0  # finished epochs of all phases
    best: float = -math.inf  # dev CIDEr of best.pt
    since_best: int = 0  # epochs
    seconds: float = 0.0  # spent on finished epochs
    before: float | None = None  # dev CIDEr of the weights that training started from


class Trainer:
    """Trains a captioner in ``output``: best.pt, last.pt, vocab.json, config.json, history.jsonl.

    Args:
        splits: at least ``train`` and ``dev``.
        output: folder of the run.
        cache: folder of the feature cache.
        start: weights to start from, instead of an untrained decoder.
        workers: processes that read pictures while the encoder is trained.
    """

    def __init__(
        self,
        config: TrainConfig,
        splits: dict[Split, list[Example]],
        output: Path,
        cache: Path,
        *,
        device: torch.device,
        start: Start | None = None,
        workers: int = 0,
        strict: bool = False,
    ) -> None:
        self.config = config
        self.splits = splits
        self.folder = RunFolder(output)
        self.device = device
        self.start = start
        if config.batch_size % parallel.world_size():
            raise TrainingError(
                f"--batch-size must be a multiple of the {parallel.world_size()} processes that "
                f"share a batch, but is {config.batch_size}."
            )
        for split in ("train", "dev"):
            if not splits[split]:
                raise DataError(
                    f"Training needs a train and a dev split, but {split} has no picture. Add "
                    f"pictures (a hash of their names divides them), or name the pictures of "
                    f"each split in {SPLIT_FILES['train']} and {SPLIT_FILES['dev']}."
                )
        self.vocabulary = Vocabulary(config.freq_threshold)
        self.vocabulary.extend(start.itos if start else [])
        self.vocabulary.build(
            caption for example in splits["train"] for caption in example.captions
        )
        words = len(self.vocabulary) - len(SPECIALS)
        if words < MAX_BEAM_SIZE:  # a beam needs as many first words as it is wide
            raise DataError(
                f"Only {words} words occur at least {config.freq_threshold} times in the training "
                f"captions, and a captioner needs {MAX_BEAM_SIZE}. Lower --freq-threshold, or add "
                "captions."
            )
        self.loader = PhaseLoader(
            config, splits, self.vocabulary, cache, workers=workers, strict=strict
        )
        torch.manual_seed(config.seed)
        self.captioner = checkpoint.build_captioner(config, len(self.vocabulary)).to(device)
        if start:
            take_over(self.captioner, start)
        self.position = Position()

    def fit(self, *, resume: bool = False) -> Position:
        """Train all phases, or what is left of them; returns where the run ended."""
        saved = self._restore() if resume and self.folder.has(LAST) else None
        self.folder.open(self.vocabulary, self.config, self.position.total_epochs)
        try:
            for number, phase in enumerate(plan(self.config)):
                if number >= self.position.phase:
                    self._run_phase(number, phase, saved)
                    saved = None
        finally:
            self.folder.close()
        return self.position

    def _run_phase(self, number: int, phase: Phase, saved: dict[str, Any] | None) -> None:
        if number > self.position.phase:
            self._start_from_best(number)
        self.captioner.encoder.release(phase.encoder_stages)
        data = self.loader.load(phase, self.captioner)
        objective = self._objective(phase)
        optimisation = self._optimisation(phase, len(data.train))
        reward = (
            Reward(data.train_set.tokens, self.config.scst_bleu) if phase.self_critical else None
        )
        scorer = CocoScorer({e.name: e.captions for e in data.dev_set.examples})
        if saved is not None:
            optimisation.restore(saved["optimisation"])
        else:  # so that a run resumed in this phase starts from the same weights, not a later best
            if self.start and not number:
                self._judge_start(data, scorer)
            if phase.self_critical and (self.start or number):
                self.folder.save(self._content(self.captioner), BEFORE)
            self._save_last(optimisation)
        while self.position.epoch < phase.epochs and not self._out_of_patience():
            started = time.monotonic()
            mean = self._train_epoch(phase, data, objective, optimisation, reward)
            average = optimisation.average
            model = self.captioner if average is None else cast(Captioner, average.module)
            if phase.self_critical:
                model = self._blended(model)
            record = self._evaluate(model, data, scorer)
            self.position.seconds += time.monotonic() - started
            record["reward" if phase.self_critical else "loss_train"] = mean
            self._finish_epoch(phase, model, optimisation, record)

    def _judge_start(self, data: PhaseData, scorer: CocoScorer) -> None:
        """Score the weights that training starts from: what it makes of them must be better."""
        record = self._evaluate(self.captioner, data, scorer)
        self.position.before = self.position.best = record["cider"]
        logger.info("start: %s", " ".join(f"{name} {v:.4f}" for name, v in record.items()))
        self.folder.save(self._content(self.captioner), BEST)

    def _out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.position.since_best

    def _train_epoch(
        self,
        phase: Phase,
        data: PhaseData,
        objective: nn.Module,
        optimisation: Optimisation,
        reward: Reward | None,
    ) -> float:
        """Train one epoch and return its mean loss, or mean reward."""
        # Every epoch has its own seed, so a resumed run draws what the whole one would have drawn.
        seed = self.config.seed * 1_000_003 + self.position.total_epochs
        torch.manual_seed(seed + parallel.rank())
        cast(torch.Generator, data.train.generator).manual_seed(seed + parallel.rank())
        cast(DistributedSampler[Any], data.train.sampler).set_epoch(seed)
        first_step = self.position.epoch * len(data.train)
        shown = data.dev_set.examples[:EXAMPLES]
        values = []
        steps = self._steps(data.train, objective, optimisation, reward)
        for number, value in enumerate(steps):
            step = first_step + number
            values.append(value)
            self.folder.plot(f"{phase.name}/step", value, step)
            if step % self.config.examples_every == 0 and parallel.is_main():
                pictures = torch.stack([data.dev_set[i][0] for i in range(len(shown))])
                text = print_examples(
                    self.captioner, pictures.to(self.device), shown, self.vocabulary
                )
                self.folder.show(f"{phase.name}/examples", text, step)
        return sum(values) / len(values)

    def _steps(
        self,
        loader: DataLoader[Any],
        objective: nn.Module,
        optimisation: Optimisation,
        reward: Reward | None,
    ) -> Iterator[float]:
        config = self.config
        if reward is not None:
            return train_one_epoch_self_critical(
                self.captioner,
                objective,
                loader,
                optimisation,
                reward,
                samples=config.scst_samples,
                max_length=config.max_length,
                mix=config.scst_mix,
            )
        growths = self.position.total_epochs // config.sampling_every
        return train_one_epoch(
            self.captioner,
            objective,
            loader,
            optimisation,
            sampling=min(config.sampling, config.sampling_step * growths),
        )

    def _evaluate(self, model: Captioner, data: PhaseData, scorer: CocoScorer) -> dict[str, float]:
        """Loss and scores on the dev split, which the main process finds for all."""
        return parallel.agree(self._scores(model, data, scorer) if parallel.is_main() else {})

    def _scores(self, model: Captioner, data: PhaseData, scorer: CocoScorer) -> dict[str, float]:
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
    ) -> None:
        """Log an epoch, and write best.pt and last.pt."""
        position = self.position
        position.epoch += 1
        position.total_epochs += 1
        better = record["cider"] > position.best
        position.best = max(position.best, record["cider"])
        position.since_best = 0 if better else position.since_best + 1
        for name, value in record.items():
            self.folder.plot(f"epoch/{name}", value, position.total_epochs)
        line = {"epoch": position.total_epochs, "phase": phase.name, **record}
        self.folder.append_history(line)
        logger.info(
            "epoch %d (%s): %s%s",
            position.total_epochs,
            phase.name,
            " ".join(f"{name} {value:.4f}" for name, value in record.items()),
            " *" if better else "",
        )
        if better:
            self.folder.save(self._content(model), BEST)
        self._save_last(optimisation)

    def _save_last(self, optimisation: Optimisation) -> None:
        last = {**self._content(self.captioner), "optimisation": optimisation.state()}
        self.folder.save(last, LAST)

    def _content(self, model: Captioner) -> dict[str, Any]:
        return {
            "model": model.state_dict(),
            "itos": self.vocabulary.itos,
            "config": dataclasses.asdict(self.config),
            "training": {
                "position": dataclasses.asdict(self.position),
                "pictures": {split: len(examples) for split, examples in self.splits.items()},
                "start": self.start.name if self.start else None,
            },
        }

    def _restore(self) -> dict[str, Any]:
        saved = self.folder.read(LAST)
        if saved["config"] != dataclasses.asdict(self.config):
            changed = [k for k, v in saved["config"].items() if v != getattr(self.config, k, None)]
            raise TrainingError(
                f"--resume continues the run in {self.folder.path.name} with its own "
                f"configuration, but {', '.join(changed)} differ. Repeat the options that started "
                "it."
            )
        if saved["itos"] != self.vocabulary.itos:
            raise TrainingError(
                "--resume needs the data that the run started with, but their vocabularies differ."
            )
        self.captioner.load_state_dict(saved["model"])
        self.position = Position(**saved["training"]["position"])
        logger.info("Resuming after epoch %d.", self.position.total_epochs)
        return saved

    def _blended(self, model: Captioner) -> Captioner:
        """``model`` moved back towards the weights from before self-critical training.

        The metric's gain stays, and what chasing one metric costs comes back (longer sentences,
        more words): the weights are interpolated as in Wortsman et al., CVPR 2022. Every epoch is
        judged by the mixture, because the mixture is what is kept.
        """
        if self.config.scst_share == 1 or not (self.start or self.position.phase):
            return model  # or nothing was trained before
        before = self.folder.read(BEFORE)["model"]
        mixed = copy.deepcopy(model)
        mixed.load_state_dict(blend(before, model.state_dict(), self.config.scst_share))
        return mixed

    def _start_from_best(self, number: int) -> None:
        self.captioner.load_state_dict(self.folder.read(BEST)["model"])
        self.position.phase, self.position.epoch, self.position.since_best = number, 0, 0

    def _objective(self, phase: Phase) -> nn.Module:
        """What the phase trains on, replicated where several processes do."""
        objective = (
            SelfCritical(self.captioner)
            if phase.self_critical
            else CrossEntropy(self.captioner, self.config.label_smoothing)
        )
        return parallel.replicate(objective, self.device, partly_used=phase.encoder_stages > 0)

    def _optimisation(self, phase: Phase, steps_per_epoch: int) -> Optimisation:
        config = self.config
        return build_optimisation(
            self.captioner,
            [
                (self.captioner.decoder.parameters(), phase.lr),
                (self.captioner.encoder.parameters(), phase.encoder_lr),
            ],
            steps=phase.epochs * steps_per_epoch,
            constant=phase.self_critical or config.schedule == "constant",
            weight_decay=config.weight_decay,
            clip=config.clip,
            ema=config.ema,
            precision=config.precision,
            device=self.device,
        )
