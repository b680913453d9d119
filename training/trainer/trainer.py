"""A training run: its phases and their epochs."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler

from training.common import parallel
from training.data.batches import Batch, CaptionDataset
from training.data.habits import learn_habits
from training.data.splits import SPLIT_FILES, DataError, Example, Split
from training.data.texts import text_batches
from training.model.captioner import Captioner
from training.trainer.config import TrainConfig
from training.trainer.epochs import Beside, CrossEntropy, cross_entropy_step, train_one_epoch
from training.trainer.folder import BEFORE, BEST, LAST, START, Position, RunFolder, listed
from training.trainer.judging import Judge
from training.trainer.optimisation import (
    Optimisation,
    TrainingError,
    blend,
    build_optimisation,
)
from training.trainer.phases import Phase, PhaseLoader, plan
from training.trainer.preparing import find_words, make_captioner
from training.trainer.reward import Reward
from training.trainer.self_critical import SelfCritical, self_critical_step
from training.trainer.start import Start

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A phase that can be trained: what it reads, moves and is judged by."""

    phase: Phase
    train: DataLoader[Any]
    objective: nn.Module
    optimisation: Optimisation
    judge: Judge
    reward: Reward | None  # of self-critical training
    more: DataLoader[Any] | None  # pictures to learn from beside it


def _endless(loader: DataLoader[Any]) -> Iterator[Batch]:
    while True:
        yield from loader


class Trainer:
    """Trains a captioner in ``output``: best.pt, last.pt, vocab.json, config.json, history.jsonl.

    Args:
        splits: at least ``train`` and ``dev``.
        output: folder of the run.
        cache: folder of the feature cache.
        text: captions without pictures to train on beside those.
        also: the pictures of other data sets to train on, by cross-entropy alone.
        judged: data sets that count as much as the dev split where the best weights are chosen.
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
        text: Sequence[str] = (),
        also: Sequence[list[Example]] = (),
        judged: Mapping[str, list[Example]] | None = None,
        start: Start | None = None,
        workers: int = 0,
        strict: bool = False,
    ) -> None:
        self.config = config
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
        vocabulary = find_words(config, splits["train"], text, start)
        self.folder = RunFolder(output, config, vocabulary, splits, start)
        self.text = [vocabulary.encode(caption, config.max_tokens) for caption in text]
        written = (caption for example in splits["train"] for caption in example.captions)
        captions = chain(self.text, (vocabulary.encode(c, config.max_tokens) for c in written))
        habits = learn_habits(captions, vocabulary.itos)
        self.loader = PhaseLoader(
            config, splits, also, judged or {}, vocabulary, habits, cache, workers, strict
        )
        torch.manual_seed(config.seed)
        self.captioner = make_captioner(config, vocabulary, habits, start).to(device)

    @property
    def position(self) -> Position:
        """Where the run stands."""
        return self.folder.position

    def fit(self, *, resume: bool = False) -> Position:
        """Train all phases, or what is left of them; returns where the run ended."""
        resumes = resume and self.folder.has(LAST)
        saved = self.folder.restore(self.captioner) if resumes else None
        self.folder.open()
        first = self.position.phase
        with closing(self.folder):
            for number, phase in list(enumerate(plan(self.config)))[first:]:
                if number > first:
                    self._start_from_best(number)
                stage = self._prepare(phase)
                if saved and number == first:
                    stage.optimisation.restore(saved["optimisation"])
                else:
                    self._keep_start(stage)
                self._train(stage)
        return self.position

    def _start_from_best(self, number: int) -> None:
        self.captioner.load_state_dict(self.folder.read(BEST)["model"])
        self.position.phase, self.position.epoch, self.position.since_best = number, 0, 0

    def _prepare(self, phase: Phase) -> Stage:
        self.captioner.encoder.release(phase.encoder_stages)
        train, dev, judged, more = self.loader.load(phase, self.captioner)
        objective: nn.Module = CrossEntropy(self.captioner, self.config.label_smoothing)
        reward = None
        if phase.self_critical:
            objective = SelfCritical(self.captioner, self.config.label_smoothing)
            references = cast(CaptionDataset, train.dataset).tokens
            reward = Reward(references, self.config.scst_bleu)
        optimisation = build_optimisation(
            self.captioner,
            [
                (self.captioner.decoder.parameters(), phase.lr),
                (self.captioner.encoder.parameters(), phase.encoder_lr),
            ],
            self.config,
            self.device,
            steps=phase.epochs * len(train),
            constant=phase.self_critical,
        )
        return Stage(
            phase,
            train,
            parallel.replicate(objective, self.device, partly_used=phase.encoder_stages > 0),
            optimisation,
            Judge(dev, self.config, self.device, judged),
            reward,
            more,
        )

    def _keep_start(self, stage: Stage) -> None:
        """Keep the weights that a phase starts from: a run resumed in it starts from the same.

        Those that the whole run starts from are scored as well: what it makes of them is kept
        only where it is better.
        """
        if self.start and not self.position.phase:
            scores = stage.judge(self.captioner)
            self.position.before = self.position.best = scores["cider"]
            logger.info("start: %s", listed(scores))
            self.folder.save(self.captioner, BEST)
            if self.config.init_share:
                self.folder.save(self.captioner, START)
        if stage.phase.self_critical and self._trained_before:
            self.folder.save(self.captioner, BEFORE)
        self._save_last(stage)

    @property
    def _trained_before(self) -> bool:
        """Whether the weights were trained before this phase, in this run or another."""
        return bool(self.start or self.position.phase)

    def _train(self, stage: Stage) -> None:
        """Train the epochs of a phase that are left."""
        position, patience = self.position, self.config.patience
        while position.epoch < stage.phase.epochs and not 0 < patience <= position.since_best:
            started = time.monotonic()
            mean = self._train_epoch(stage)
            model = self._judged(stage)
            scores = stage.judge(model)
            position.seconds += time.monotonic() - started
            scores["reward" if stage.reward else "loss_train"] = mean
            if self.folder.record(stage.phase.name, scores):
                self.folder.save(model, BEST)
            self._save_last(stage)

    def _train_epoch(self, stage: Stage) -> float:
        """Train one epoch and return its mean loss, or mean reward."""
        # Every epoch has its own seed, so a resumed run draws what the whole one would have drawn.
        seed = self.config.seed * 1_000_003 + self.position.total_epochs
        loader, name = stage.train, stage.phase.name
        torch.manual_seed(seed + parallel.rank())
        cast(torch.Generator, loader.generator).manual_seed(seed + parallel.rank())
        cast(DistributedSampler[Any], loader.sampler).set_epoch(seed)
        first_step = self.position.epoch * len(loader)

        def record(number: int, value: float) -> None:
            step = first_step + number
            self.folder.plot(f"{name}/step", value, step)
            if step % self.config.examples_every == 0 and parallel.is_main():
                self.folder.show(f"{name}/examples", stage.judge.examples(self.captioner), step)

        return train_one_epoch(self.captioner, loader, self._step(stage), record)

    def _step(self, stage: Stage) -> Callable[[Batch], float]:
        """What trains on a batch, for one epoch."""
        config = self.config
        learner: dict[str, Any] = {
            "captioner": self.captioner,
            "objective": stage.objective,
            "optimisation": stage.optimisation,
            "beside": self._beside(stage),
        }
        if stage.reward:
            return partial(
                self_critical_step,
                **learner,
                reward=stage.reward,
                samples=config.scst_samples,
                max_length=config.max_length,
                mix=config.scst_mix,
            )
        growths = self.position.total_epochs // config.sampling_every
        share = min(config.sampling, config.sampling_step * growths)
        return partial(cross_entropy_step, **learner, sampling=share)

    def _beside(self, stage: Stage) -> Beside | None:
        """What each step learns from beside its batch: captions without pictures, and in
        self-critical training, the pictures of other data sets."""
        config, simulator = self.config, self.loader.simulator
        weight = config.scst_beside if stage.reward else 1.0
        sources: list[tuple[Iterator[Batch], float]] = []
        if self.text and simulator:
            size = max(1, config.text_batch // parallel.world_size())
            texts = text_batches(self.text, simulator, size, self.captioner.encoder.channels)
            sources.append((texts, weight * config.text_weight))
        if stage.more:
            sources.append((_endless(stage.more), weight))
        return ([(next(s), w) for s, w in sources] for _ in count()) if sources else None

    def _judged(self, stage: Stage) -> Captioner:
        """The captioner that an epoch is judged by and that is kept: its weights averaged.

        After self-critical training they are moved back towards those from before it. The
        metric's gain stays, and what chasing one metric costs comes back (longer sentences, more
        words): the weights are interpolated as in Wortsman et al., CVPR 2022. In the same way what
        the weights of --init knew comes back, in the last phase.
        """
        average, config = stage.optimisation.average, self.config
        model = self.captioner if average is None else cast(Captioner, average.module)
        shares = {}
        if stage.phase.self_critical and self._trained_before and config.scst_share < 1:
            shares[BEFORE] = config.scst_share
        if self.start and config.init_share and stage.phase == plan(config)[-1]:
            shares[START] = 1 - config.init_share
        mixed = copy.deepcopy(model) if shares else model
        for name, share in shares.items():
            before = self.folder.read(name)["model"]
            mixed.load_state_dict(blend(before, mixed.state_dict(), share))
        return mixed

    def _save_last(self, stage: Stage) -> None:
        self.folder.save(self.captioner, LAST, optimisation=stage.optimisation.state())
