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
from training.data.simulation import Caption, Simulator, Told
from training.data.splits import Example, Problems
from training.data.store import FeatureStore, read_picture
from training.data.vocabulary import Vocabulary

# A picture or its features, its captions as ids, its position in the data set, and tags for it.
Item = tuple[Tensor, list[Caption], int, Told | None]


class Batch(NamedTuple):
    """``images`` is ``[B, 3, S, S]`` uint8 or features ``[B, G, D]``; captions ``[B, C, T]``."""

    images: Tensor
    captions: Tensor
    indices: Tensor  # (B,) positions in the data set
    # Tags to train on, [B, N] each: token ids, <PAD> where the tagger's are to be taken.
    words: Tensor
    probabilities: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device, but for the indices."""
        moved = [tensor.to(device, non_blocking=True) for tensor in self]
        return Batch(*moved)._replace(indices=self.indices)


class CaptionDataset(Dataset[Item]):
    """Pictures of one split with their encoded captions.

    Pictures come from ``features`` (a frozen encoder's, computed once; a random view of each),
    or are decoded from their files to ``image_size`` pixels a side.

    Args:
        augmentation: how pictures vary; None takes them, or their first view, as they are.
        max_tokens: words of a caption that are used.
        simulator: makes tags, and captions of other things, for some of the pictures.
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
        simulator: Simulator | None = None,
    ) -> None:
        self.examples, self.vocabulary = list(examples), vocabulary
        self.features, self.image_size, self.augmentation = features, image_size, augmentation
        self.simulator = simulator
        self.tokens = [
            [vocabulary.encode(caption, max_tokens) for caption in example.captions]
            for example in self.examples
        ]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Item:
        captions, told = self.tokens[index], None
        if self.simulator:
            captions, told = self.simulator.picture(captions)
        return self._picture(index), captions, index, told

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
    images, captions, indices, told = zip(*items, strict=True)
    most = max(len(rows) for rows in captions)
    longest = max(len(row) for rows in captions for row in rows)
    padded = torch.full((len(items), most, longest), PAD, dtype=torch.long)
    for b, rows in enumerate(captions):
        for c, row in enumerate(rows):
            padded[b, c, : len(row)] = torch.tensor(row)
    count = max(len(tags.words) if tags else 0 for tags in told)
    words = torch.full((len(items), count), PAD)
    probabilities = torch.zeros(len(items), count)
    for b, tags in enumerate(told):
        if tags:
            words[b], probabilities[b] = torch.tensor(tags.words), torch.tensor(tags.probabilities)
    return Batch(torch.stack(images), padded, torch.tensor(indices), words, probabilities)


def get_loader(
    dataset: Dataset[Item], *, batch_size: int = 64, shuffle: bool = False, workers: int = 0
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
