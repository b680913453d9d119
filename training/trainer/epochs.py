"""One epoch of training, and a step of each kind of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from handler.text import EOS, PAD, SOS
from training.common import parallel
from training.common.progress import progress
from training.data.batches import Batch
from training.model.captioner import Captioner
from training.model.decoders import Decoder
from training.trainer.optimisation import Optimisation, check_finite
from training.trainer.reward import Reward


class CrossEntropy(nn.Module):
    """Cross-entropy under teacher forcing, as a module that can be replicated.

    Args:
        label_smoothing: share of the target that is spread over all words.
    """

    def __init__(self, captioner: Captioner, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.captioner = captioner
        self.label_smoothing = label_smoothing

    def forward(self, images: Tensor, captions: Tensor, sampling: float) -> Tensor:
        """Summed loss of ``captions`` ``[B, C, T]``; ``sampling``: see ``cross_entropy_step``."""
        features = features_of(self.captioner, images)
        return cross_entropy(
            self.captioner.decoder, features, captions, self.label_smoothing, sampling, "sum"
        )


class SelfCritical(nn.Module):
    """The loss of self-critical training, as a module that can be replicated."""

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.captioner = captioner

    def forward(
        self, features: Tensor, drawn: Tensor, weights: Tensor, reference: Tensor, mix: Tensor
    ) -> Tensor:
        """Minus the log-probabilities of ``drawn`` ``[B, N, T]``, each by its weight ``[B, N]``,
        and ``mix`` times the summed cross-entropy of ``reference`` ``[B, C, T]``."""
        loss = -(weights * sentence_log_probs(self.captioner, features, drawn)).sum()
        if mix > 0:
            loss = loss + mix * cross_entropy(
                self.captioner.decoder, features, reference, reduction="sum"
            )
        return loss


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
    sampling: float = 0.0,
) -> float:
    """Train on ``objective``, a ``CrossEntropy``; returns the mean loss per word.

    Args:
        sampling: share of input words drawn from the model itself (scheduled sampling, Bengio et
            al., 2015; in two parallel passes as in Duckworth et al., 2019).
    """
    batch = batch.to(optimisation.device)
    with optimisation.autocast():
        loss = objective(batch.images, batch.captions, sampling)
    return optimisation.step(loss * _share(batch.captions), captioner)


def self_critical_step(
    batch: Batch,
    captioner: Captioner,
    objective: nn.Module,
    optimisation: Optimisation,
    *,
    reward: Reward,
    samples: int,
    max_length: int,
    mix: float = 0.0,
) -> float:
    """Train on ``objective``, a ``SelfCritical``; returns the mean reward.

    Source: Rennie et al., CVPR 2017, with the mean of a picture's other samples as the baseline
    (Luo, arXiv 2003.09971). Sentences are drawn without dropout, then scored in one parallel pass.

    Args:
        mix: weight of the cross-entropy of one of the picture's captions, drawn at random, beside
            the reward (Wu et al., arXiv 1609.08144, equation 9).
    """
    batch = batch.to(optimisation.device)
    captioner.eval()
    with optimisation.autocast():
        features = features_of(captioner, batch.images)
        drawn = sample(captioner, features, samples, max_length)  # (B, N, T)
    rewards = reward(drawn, batch.indices).to(optimisation.device)  # (B, N)
    others = (rewards.sum(1, keepdim=True) - rewards) / (samples - 1)
    reference = _one_of(batch.captions)
    captioner.train()
    with optimisation.autocast():
        weights = (rewards - others) * _share(drawn)
        loss = objective(features, drawn, weights, reference, mix * _share(reference))
    optimisation.step(loss, captioner)
    return float(parallel.total(rewards.mean())) / parallel.world_size()


def _share(words: Tensor) -> Tensor:
    """What turns sums over this process's ``words`` into the mean over those of all processes,
    once the processes' gradients are averaged."""
    return parallel.world_size() / parallel.total((words != PAD).sum())


def _one_of(captions: Tensor) -> Tensor:
    """A random caption of each picture: ``[B, C, T]`` to ``[B, 1, T]``."""
    written = (captions != PAD).any(-1).float()  # (B, C): pictures may have fewer than C
    drawn = torch.multinomial(written, 1)  # (B, 1)
    return captions.gather(1, drawn.unsqueeze(-1).expand(-1, -1, captions.shape[2]))


def features_of(captioner: Captioner, images: Tensor) -> Tensor:
    """Cached features ``[B, G, D]`` as they are; pictures ``[B, 3, S, S]`` through the encoder."""
    if images.dim() == 3:
        return images.float()
    features: Tensor = captioner.encoder(images)
    return features


def cross_entropy(
    decoder: Decoder,
    features: Tensor,
    captions: Tensor,
    label_smoothing: float = 0.0,
    sampling: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Mean or sum of the loss over the words of ``captions`` ``[B, C, T]``, ``<PAD>`` left out."""
    inputs = shift_right(captions)
    kept = captions != PAD
    if sampling:
        inputs = _mix_own_words(decoder, features, inputs, sampling)
    hidden = decoder(features, inputs)[kept]  # (words, E)
    logits = decoder.logits(hidden).float()
    return F.cross_entropy(
        logits, captions[kept], label_smoothing=label_smoothing, reduction=reduction
    )


def shift_right(captions: Tensor) -> Tensor:
    """The words that precede those of ``captions``: ``<SOS>`` first, the last one dropped."""
    return F.pad(captions, (1, -1), value=SOS)


def _mix_own_words(decoder: Decoder, features: Tensor, inputs: Tensor, share: float) -> Tensor:
    """Replace a ``share`` of the input words by words that the decoder draws in their place."""
    with torch.no_grad():
        logits = decoder.logits(decoder(features, inputs)).float()
        drawn = _draw(logits.softmax(-1))  # (B, C, T)
    own = shift_right(drawn)
    replaced = torch.rand(inputs.shape, device=inputs.device) < share
    replaced &= (inputs != PAD) & (inputs != SOS)
    return torch.where(replaced, own, inputs)


@torch.no_grad()
def sample(captioner: Captioner, features: Tensor, samples: int, max_length: int) -> Tensor:
    """Draw ``samples`` sentences for each picture: ids ``[B, N, max_length + 1]``."""
    B, T = features.shape[0], max_length + 1
    memory, state = captioner.decoder.start(features, samples)
    drawn = torch.full((B, samples, T), PAD, device=features.device)
    last = torch.full((B, samples), SOS, device=features.device)
    finished = torch.zeros_like(last, dtype=torch.bool)
    steps = torch.arange(T, device=features.device)
    for t in range(T):
        logits, state, _ = captioner.decoder.step(last, memory, state)
        probabilities = captioner.log_probs(logits, steps[t], T).exp()
        # Rows of the last step hold only the price of <EOS>; they need not sum to 1.
        last = _draw(probabilities).masked_fill(finished, PAD)
        drawn[:, :, t] = last
        finished |= last == EOS
        if bool(finished.all()):
            break
    return drawn


def _draw(probabilities: Tensor) -> Tensor:
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


def sentence_log_probs(captioner: Captioner, features: Tensor, drawn: Tensor) -> Tensor:
    """Differentiable log-probabilities ``[B, N]`` of sentences ``[B, N, T]``."""
    longest = int((drawn != PAD).sum(-1).max())
    drawn = drawn[:, :, :longest]
    kept = drawn != PAD
    hidden = captioner.decoder(features, shift_right(drawn))[kept]
    # The first word was drawn without <EOS> among the choices: the same price is paid here.
    first = torch.zeros_like(kept)
    first[:, :, 0] = True
    forbidden = torch.where(
        first[kept].unsqueeze(1), captioner.forbidden_first, captioner.forbidden
    )
    logits = captioner.decoder.logits(hidden).float() + forbidden
    chosen = logits.log_softmax(-1).gather(1, drawn[kept].unsqueeze(1)).squeeze(1)
    return torch.zeros(drawn.shape, device=drawn.device).masked_scatter(kept, chosen).sum(-1)
