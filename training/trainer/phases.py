"""The phases of a training run, and the data that each of them reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from torch.utils.data import ConcatDataset, DataLoader

from training.common import parallel
from training.data.augment import Augmentation
from training.data.batches import CaptionDataset, drop_known, drop_unreadable, get_loader
from training.data.habits import Habits
from training.data.simulation import Simulator
from training.data.splits import DataError, Example, Split
from training.data.things import read_things
from training.data.vocabulary import Vocabulary
from training.model.captioner import Captioner
from training.trainer.config import TrainConfig
from training.trainer.features import feature_store
from training.trainer.optimisation import autocast_for


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs with one objective and one set of trainable weights."""

    name: str
    epochs: int
    lr: float
    encoder_stages: int  # of the encoder's end that are trained; 0: none
    encoder_lr: float
    self_critical: bool = False


def plan(config: TrainConfig) -> list[Phase]:
    """The phases of a run, in order, without the empty ones."""
    c = config
    everything = 1_000 if c.train_encoder else 0
    phases = [
        Phase("cross-entropy", c.epochs, c.lr, everything, c.encoder_lr),
        Phase("fine-tuning", c.finetune_epochs, c.finetune_lr, c.finetune_stages, c.encoder_lr),
        Phase("self-critical", c.scst_epochs, c.scst_lr, 0, 0.0, self_critical=True),
    ]
    return [phase for phase in phases if phase.epochs]


class PhaseData(NamedTuple):
    """The loaders of one phase, of ``CaptionDataset``s."""

    train: DataLoader[Any]
    dev: DataLoader[Any]
    judged: dict[str, DataLoader[Any]]  # what it is judged by besides, by name
    more: DataLoader[Any] | None  # of what is trained on beside, if that is apart


@dataclass(frozen=True)
class PhaseLoader:
    """Loads what a phase trains on and is judged by.

    Args:
        splits: at least ``train`` and ``dev``.
        also: pictures of other data sets, whose captions are no references for rewards.
        judged: data sets that count like the dev split in the choice of weights, by name.
        habits: of the training captions.
        cache: folder of the feature cache.
        workers: processes that read pictures while the encoder is trained.
        strict: a picture that cannot be read ends the run.
    """

    config: TrainConfig
    splits: dict[Split, list[Example]]
    also: Sequence[list[Example]]
    judged: Mapping[str, list[Example]]
    vocabulary: Vocabulary
    habits: Habits
    cache: Path
    workers: int
    strict: bool

    @cached_property
    def simulator(self) -> Simulator | None:
        """Makes tags to train on, where the captioner reads tags."""
        count = self.config.tag_count
        return (
            Simulator(self.vocabulary, read_things(), self.habits.heads, count) if count else None
        )

    def load(self, phase: Phase, captioner: Captioner) -> PhaseData:
        """Loaders of the train and dev splits: of features, unless the encoder is trained."""
        augmentation = Augmentation(self.config.flips, self.config.crop)
        read = partial(self._dataset, phase, captioner)
        size, workers = self.config.batch_size, self.workers if phase.encoder_stages else 0
        loader = partial(get_loader, batch_size=size, workers=workers)
        simulator = self.simulator
        rewarded = None if phase.self_critical else simulator
        train = read("the train split", self.splits["train"], augmentation, rewarded)
        also = [read("--also", examples, augmentation, simulator) for examples in self.also]
        dev = loader(read("the dev split", self.splits["dev"]))
        judged = {n: loader(read("--judge", examples)) for n, examples in self.judged.items()}
        if phase.self_critical:
            more = loader(ConcatDataset(also), shuffle=True) if also else None
            return PhaseData(loader(train, shuffle=True), dev, judged, more)
        everything = loader(ConcatDataset([train, *also]), shuffle=True)
        return PhaseData(everything, dev, judged, None)

    def _dataset(
        self,
        phase: Phase,
        captioner: Captioner,
        what: str,
        examples: list[Example],
        augmentation: Augmentation | None = None,
        simulator: Simulator | None = None,
    ) -> CaptionDataset:
        store, size = None, captioner.image_size
        if phase.encoder_stages:
            examples = drop_unreadable(examples, size, strict=self.strict)
        else:
            with parallel.one_per_machine():
                store = feature_store(
                    captioner.encoder,
                    self.config.encoder,
                    examples,
                    self.cache,
                    views=self.config.views,
                    augmentation=augmentation,
                    autocast=autocast_for(self.config.precision, captioner.encoder.mean.device),
                )
            examples = drop_known(examples, store.unreadable, strict=self.strict)
        if not examples:
            raise DataError(f"No picture of {what} can be read.")
        return CaptionDataset(
            examples,
            self.vocabulary,
            features=store,
            image_size=size,
            max_tokens=self.config.max_tokens,
            augmentation=augmentation,
            simulator=simulator,
        )
