"""The phases of a training run, and the data that each of them reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from training.common import parallel
from training.data.augment import Augmentation
from training.data.batches import CaptionDataset, drop_unreadable, get_loader
from training.data.splits import DataError, Example, Problems, Split
from training.data.store import FeatureStore
from training.data.vocabulary import Vocabulary
from training.model.captioner import Captioner
from training.model.encoders import Encoder
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
    everything = 1_000 if config.train_encoder else 0
    phases = [
        Phase("cross-entropy", config.epochs, config.lr, everything, config.encoder_lr),
        Phase(
            "fine-tuning",
            config.finetune_epochs,
            config.finetune_lr,
            config.finetune_stages,
            config.encoder_lr,
        ),
        Phase(
            "self-critical",
            config.scst_epochs,
            config.scst_lr,
            encoder_stages=0,
            encoder_lr=0.0,
            self_critical=True,
        ),
    ]
    return [phase for phase in phases if phase.epochs]


@dataclass(frozen=True)
class PhaseData:
    """The loaders of one phase and the data sets behind them."""

    train: DataLoader[Any]
    train_set: CaptionDataset
    dev: DataLoader[Any]
    dev_set: CaptionDataset


class PhaseLoader:
    """Loads what a phase trains on and is judged by.

    Args:
        splits: at least ``train`` and ``dev``.
        cache: folder of the feature cache.
        workers: processes that read pictures while the encoder is trained.
        strict: a picture that cannot be read ends the run.
    """

    def __init__(
        self,
        config: TrainConfig,
        splits: dict[Split, list[Example]],
        vocabulary: Vocabulary,
        cache: Path,
        *,
        workers: int,
        strict: bool,
    ) -> None:
        self._config = config
        self._splits = splits
        self._vocabulary = vocabulary
        self._cache = cache
        self._workers = workers
        self._strict = strict

    def load(self, phase: Phase, captioner: Captioner) -> PhaseData:
        """Loaders of the train and dev splits: of features, unless the encoder is trained."""
        augmentation = Augmentation(self._config.flips, self._config.crop)
        return PhaseData(
            *self._loader("train", phase, captioner, augmentation),
            *self._loader("dev", phase, captioner, None),
        )

    def _loader(
        self,
        split: Split,
        phase: Phase,
        captioner: Captioner,
        augmentation: Augmentation | None,
    ) -> tuple[DataLoader[Any], CaptionDataset]:
        store = None
        if not phase.encoder_stages:
            store = self._features(split, captioner.encoder, augmentation)
        examples = self._usable(self._splits[split], store, captioner.image_size)
        if not examples:
            raise DataError(f"No picture of the {split} split can be read.")
        return get_loader(
            examples,
            self._vocabulary,
            features=store,
            image_size=captioner.image_size,
            batch_size=self._config.batch_size,
            max_tokens=self._config.max_tokens,
            shuffle=split == "train",
            augmentation=augmentation,
            workers=0 if store else self._workers,
        )

    def _usable(
        self, examples: list[Example], store: FeatureStore | None, image_size: int
    ) -> list[Example]:
        """The examples whose pictures can be read; the others are reported."""
        if store is None:
            return drop_unreadable(examples, image_size, strict=self._strict)
        problems = Problems(self._strict)
        for example in examples:
            if example.name in store.unreadable:
                why = store.unreadable[example.name]
                problems.add(f"unreadable picture {example.name!r} ({why})")
        problems.report("pictures")
        return [example for example in examples if example.name in store.rows]

    def _features(
        self, split: Split, encoder: Encoder, augmentation: Augmentation | None
    ) -> FeatureStore:
        device = encoder.mean.device
        with parallel.one_by_machine():
            return feature_store(
                encoder,
                self._config.encoder,
                self._splits[split],
                self._cache,
                views=self._config.views if augmentation and augmentation.varies else 1,
                augmentation=augmentation or Augmentation(),
                device=device,
                autocast=autocast_for(self._config.precision, device),
            )
