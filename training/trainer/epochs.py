"""One epoch of training, and a step of each kind of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from handler.text import PAD, SOS
from training.common import parallel
from training.common.progress import progress
from training.data.batches import Batch
from training.model.captioner import Captioner
from training.model.decoders import Decoder
from training.model.tagger import Tags
from training.trainer.optimisation import Optimisation, check_finite

# For each step, batches that are learnt from by cross-entropy beside its own, and their weights.
Beside = Iterator[list[tuple[Batch, float]]]


class CrossEntropy(nn.Module):
    """Cross-entropy under teacher forcing, as a module that can be replicated.

    Args:
        label_smoothing: share of the target that is spread over all words.
    """

    def __init__(self, captioner: Captioner, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.captioner = captioner
        self.label_smoothing = label_smoothing

    def forward(self, batches: Sequence[tuple[Batch, Tensor]], sampling: float) -> Tensor:
        """The summed loss of each batch's captions, times the weight beside it.

        ``sampling``: see ``cross_entropy_step``.
        """
        total = torch.zeros((), device=self.captioner.encoder.mean.device)
        for batch, weight in batches:
            features = features_of(self.captioner, batch.images)
            tags = tags_of(self.captioner, features, batch)
            loss = cross_entropy(
                self.captioner.decoder,
                features,
                tags,
                batch.captions,
                self.label_smoothing,
                sampling,
                "sum",
            )
            total = total + weight * loss
        return total


def train_one_epoch(
    captioner: Captioner,
    loader: DataLoader[Any],
    step: Callable[[Batch], float],
    record: Callable[[int, float], None] | None = None,
) -> float:
    """Train ``captioner`` on every batch; returns the mean of what the steps returned.

    Args:
        step: trains on a batch and returns its loss or reward: one of the functions below.
        record: called after every step with its number in the epoch and what it returned.
    """
    captioner.train()
    values = []
    for number, batch in enumerate(progress(loader, "train", len(loader))):
        values.append(step(batch))
        if record:
            record(number, values[-1])
    return sum(values) / len(values)


def cross_entropy_step(
    batch: Batch,
    captioner: Captioner,
    objective: nn.Module,
    optimisation: Optimisation,
    *,
    beside: Beside | None = None,
    sampling: float = 0.0,
) -> float:
    """Train on ``objective``, a ``CrossEntropy``; returns the mean loss per word, to which those of
    the batches beside are added, each times its weight.

    Args:
        beside: what else each step learns from.
        sampling: share of input words drawn from the model itself (scheduled sampling, Bengio et
            al., 2015; in two parallel passes as in Duckworth et al., 2019).
    """
    batch = batch.to(optimisation.device)
    batches = [(batch, share(batch.captions)), *taken(beside, optimisation.device)]
    with optimisation.autocast():
        loss = objective(batches, sampling)
    return optimisation.step(loss, captioner)


def taken(beside: Beside | None, device: torch.device) -> list[tuple[Batch, Tensor]]:
    """The next batches of ``beside``, on the device, each with the factor of its summed loss."""
    moved = [(batch.to(device), weight) for batch, weight in next(beside)] if beside else []
    return [(batch, weight * share(batch.captions)) for batch, weight in moved]


def share(words: Tensor) -> Tensor:
    """What turns sums over this process's ``words`` into the mean over those of all processes,
    once the processes' gradients are averaged."""
    return parallel.world_size() / parallel.total((words != PAD).sum())


def features_of(captioner: Captioner, images: Tensor) -> Tensor:
    """Cached features ``[B, G, D]`` as they are; pictures ``[B, 3, S, S]`` through the encoder."""
    if images.dim() == 3:
        return images.float()
    features: Tensor = captioner.encoder(images)
    return features


@torch.no_grad()
def tags_of(captioner: Captioner, features: Tensor, batch: Batch) -> Tags:
    """The tags that a batch comes with, and the tagger's where it has none."""
    seen: Tags = captioner.see(features)
    nothing = (features == 0).flatten(1).all(1)  # a caption without a picture
    seen = seen._replace(elsewhere=torch.where(nothing, 1.0, seen.elsewhere))
    if not batch.words.shape[1]:
        return seen
    told = batch.words[:, :1] != PAD  # (B, 1)
    return Tags(
        torch.where(told, batch.words, seen.words),
        torch.where(told, batch.probabilities, seen.probabilities),
        seen.elsewhere,
    )


def cross_entropy(
    decoder: Decoder,
    features: Tensor,
    tags: Tags,
    captions: Tensor,
    label_smoothing: float = 0.0,
    sampling: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Mean or sum of the loss over the words of ``captions`` ``[B, C, T]``, ``<PAD>`` left out."""
    inputs = shift_right(captions)
    kept = captions != PAD
    if sampling:
        inputs = _mix_own_words(decoder, features, tags, inputs, sampling)
    hidden = decoder(features, tags, inputs)[kept]  # (words, E)
    logits = decoder.logits(hidden).float()
    return F.cross_entropy(
        logits, captions[kept], label_smoothing=label_smoothing, reduction=reduction
    )


def shift_right(captions: Tensor) -> Tensor:
    """The words that precede those of ``captions``: ``<SOS>`` first, the last one dropped."""
    return F.pad(captions, (1, -1), value=SOS)


def _mix_own_words(
    decoder: Decoder, features: Tensor, tags: Tags, inputs: Tensor, share: float
) -> Tensor:
    """Replace a ``share`` of the input words by words that the decoder draws in their place."""
    with torch.no_grad():
        logits = decoder.logits(decoder(features, tags, inputs)).float()
        drawn = draw(logits.softmax(-1))  # (B, C, T)
    own = shift_right(drawn)
    replaced = torch.rand(inputs.shape, device=inputs.device) < share
    replaced &= (inputs != PAD) & (inputs != SOS)
    return torch.where(replaced, own, inputs)


def draw(probabilities: Tensor) -> Tensor:
    """Draw a word ``[...]`` from each row of ``[..., V]``, whose sum is not 0.

    By inverting the distribution function: on a CPU, many times as fast as ``torch.multinomial``.
    """
    check_finite("probability of a word", float(probabilities.sum()))
    below = probabilities.cumsum(-1)  # (..., V)
    total = below[..., -1:].contiguous()
    drawn = torch.rand_like(total) * total
    words = torch.searchsorted(below, drawn, right=True).squeeze(-1)
    # Where rounding took ``drawn`` up to the sum, the last word that can be drawn at all.
    return words.minimum(torch.searchsorted(below, total).squeeze(-1))
