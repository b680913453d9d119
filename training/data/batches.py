"""Captioned pictures in batches: decoded from their files, or as cached features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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

# A picture or its features, its captions as ids, and its position in the data set.
Item = tuple[Tensor, list[list[int]], int]


class Batch(NamedTuple):
    """``images`` is ``[B, 3, S, S]`` uint8 or features ``[B, G, D]``; captions ``[B, C, T]``."""

    images: Tensor
    captions: Tensor
    indices: Tensor  # (B,) positions in the data set

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device, but for the indices."""
        images = self.images.to(device, non_blocking=True)
        return self._replace(images=images, captions=self.captions.to(device, non_blocking=True))


class CaptionDataset(Dataset[Item]):
    """Pictures of one split with their encoded captions.

    Pictures come from ``features`` (a frozen encoder's, computed once; a random view of each),
    or are decoded from their files to ``image_size`` pixels a side.

    Args:
        augmentation: how pictures vary; None takes them, or their first view, as they are.
        max_tokens: words of a caption that are used.
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
        self.examples, self.vocabulary = list(examples), vocabulary
        self.features, self.image_size, self.augmentation = features, image_size, augmentation
        self.tokens = [
            [vocabulary.encode(caption, max_tokens) for caption in example.captions]
            for example in self.examples
        ]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Item:
        return self._picture(index), self.tokens[index], index

    def _picture(self, index: int) -> Tensor:
        example, varied = self.examples[index], self.augmentation
        if self.features:
            view = int(torch.randint(self.features.views, ())) if varied else 0
            return self.features.get(example.name, view)
        pixels = read_picture(example.path, self.image_size)
        return varied(pixels) if varied else pixels


def drop_unreadable(
    examples: Sequence[Example], image_size: int, *, strict: bool = False
) -> list[Example]:
    """The examples whose pictures can be decoded; the others are reported."""
    unreadable = {}
    for example in examples:
        try:
            read_picture(example.path, image_size)
        except (PictureError, OSError) as error:
            unreadable[example.name] = str(error)
    return drop_known(examples, unreadable, strict=strict)


def drop_known(
    examples: Sequence[Example], unreadable: Mapping[str, str], *, strict: bool = False
) -> list[Example]:
    """The examples that are not in ``unreadable``, which gives a reason for every name in it."""
    problems = Problems(strict)
    for example in examples:
        if example.name in unreadable:
            problems.add(f"unreadable picture {example.name!r} ({unreadable[example.name]})")
    problems.report("pictures")
    return [example for example in examples if example.name not in unreadable]


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
    dataset: CaptionDataset, *, batch_size: int = 64, shuffle: bool = False, workers: int = 0
) -> DataLoader[Any]:
    """A loader of ``Batch``es over ``dataset``.

    Args:
        batch_size: pictures in a batch; of several processes, each takes an equal part of it.
        shuffle: draw a new order every epoch, which the sampler's ``set_epoch`` decides, and
            divide the pictures among the processes that train.
        workers: processes that read pictures.
    """
    # In a single process too, so that any number of them sees the same batches.
    sampler: DistributedSampler[Item] | None = None
    if shuffle:
        sampler = DistributedSampler(dataset, parallel.world_size(), parallel.rank())
    return DataLoader(
        dataset,
        batch_size=batch_size // parallel.world_size() if shuffle else batch_size,
        sampler=sampler,
        generator=torch.Generator(),
        collate_fn=collate,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )
