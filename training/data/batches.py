"""Captioned pictures: reading, checking, splitting and batching them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from handler.errors import PictureError
from handler.text import PAD
from training.common import parallel
from training.data.augment import Augmentation
from training.data.splits import Example, Problems
from training.data.store import FeatureStore, read_picture
from training.data.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


# A picture or its features, its captions as ids, and its position in the data set.
Item = tuple[Tensor, list[list[int]], int]


@dataclass(frozen=True)
class Batch:
    """``images`` is ``[B, 3, S, S]`` uint8 or features ``[B, G, D]``; captions ``[B, C, T]``."""

    images: Tensor
    captions: Tensor
    indices: Tensor  # (B,) positions in the data set

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.images.to(device, non_blocking=True),
            self.captions.to(device, non_blocking=True),
            self.indices,
        )

    def pin_memory(self) -> Batch:
        return Batch(self.images.pin_memory(), self.captions.pin_memory(), self.indices)


class CaptionDataset(Dataset[Item]):
    """Pictures of one split with their encoded captions.

    Pictures come from ``features`` (a frozen encoder's, computed once; a random view of each),
    or are decoded from their files to ``image_size`` pixels a side.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        vocabulary: Vocabulary,
        *,
        features: FeatureStore | None = None,
        image_size: int = 224,
        max_tokens: int = 30,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.examples = list(examples)
        self.vocabulary = vocabulary
        self.features = features
        self.image_size = image_size
        self.augmentation = augmentation
        self.tokens = [
            [vocabulary.encode(caption, max_tokens) for caption in example.captions]
            for example in self.examples
        ]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Item:
        return self._picture(index), self.tokens[index], index

    def _picture(self, index: int) -> Tensor:
        example = self.examples[index]
        if self.features is not None:
            random = self.augmentation is not None
            view = int(torch.randint(self.features.views, ())) if random else 0
            return self.features.get(example.name, view)
        pixels = read_picture(example.path, self.image_size)
        return pixels if self.augmentation is None else self.augmentation(pixels)


def drop_unreadable(
    examples: Sequence[Example], image_size: int, *, strict: bool = False
) -> list[Example]:
    """The examples whose pictures can be decoded; the others are reported."""
    problems = Problems(strict)
    readable = []
    for example in examples:
        try:
            read_picture(example.path, image_size)
        except (PictureError, OSError) as error:
            problems.add(f"unreadable picture {example.name!r} ({error})")
        else:
            readable.append(example)
    problems.report("pictures")
    return readable


def collate(items: Sequence[Item]) -> Batch:
    """Stack pictures; pad captions to ``[B, C, T]``, where C is the most captions of a picture."""
    images, captions, indices = zip(*items, strict=True)
    most = max(len(rows) for rows in captions)
    longest = max(len(row) for rows in captions for row in rows)
    padded = torch.full((len(items), most, longest), PAD, dtype=torch.long)
    for b, rows in enumerate(captions):
        for c, row in enumerate(rows):
            padded[b, c, : len(row)] = torch.tensor(row)
    return Batch(torch.stack(images), padded, torch.tensor(indices))


def get_loader(
    examples: Sequence[Example],
    vocabulary: Vocabulary,
    *,
    features: FeatureStore | None = None,
    image_size: int = 224,
    batch_size: int = 64,
    shuffle: bool = False,
    augmentation: Augmentation | None = None,
    max_tokens: int = 30,
    workers: int = 0,
) -> tuple[DataLoader[Any], CaptionDataset]:
    """A loader of ``Batch``es over ``examples``, and its data set.

    Args:
        batch_size: pictures in a batch; of several processes, each takes an equal part of it.
        shuffle: draw a new order every epoch, which the sampler's ``set_epoch`` decides, and
            divide the pictures among the processes that train.
        augmentation: how pictures vary; None takes them, or their first view, as they are.
        workers: processes that read pictures.
    """
    dataset = CaptionDataset(
        examples,
        vocabulary,
        features=features,
        image_size=image_size,
        max_tokens=max_tokens,
        augmentation=augmentation,
    )
    # In a single process too, so that any number of them sees the same batches.
    sampler: DistributedSampler[Item] | None = None
    if shuffle:
        sampler = DistributedSampler(dataset, parallel.world_size(), parallel.rank())
    loader = DataLoader(
        dataset,
        batch_size=batch_size // parallel.world_size() if shuffle else batch_size,
        sampler=sampler,
        generator=torch.Generator(),
        collate_fn=collate,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )
    return loader, dataset
