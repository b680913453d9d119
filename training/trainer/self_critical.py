"""Self-critical training (Rennie et al., CVPR 2017): a model learns from scores of what it says."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from handler.text import EOS, PAD, SOS
from training.common import parallel
from training.data.batches import Batch
from training.model.captioner import Captioner
from training.model.tagger import Tags
from training.trainer.epochs import (
    Beside,
    CrossEntropy,
    cross_entropy,
    draw,
    features_of,
    share,
    shift_right,
    tags_of,
    taken,
)
from training.trainer.optimisation import Optimisation
from training.trainer.reward import Reward


class SelfCritical(nn.Module):
    """The loss of self-critical training, as a module that can be replicated."""

    def __init__(self, captioner: Captioner, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.captioner = captioner
        self.beside = CrossEntropy(captioner, label_smoothing)

    def forward(
        self,
        features: Tensor,
        tags: Tags,
        drawn: Tensor,
        weights: Tensor,
        reference: Tensor,
        mix: Tensor,
        beside: Sequence[tuple[Batch, Tensor]],
    ) -> Tensor:
        """Minus the log-probabilities of ``drawn`` ``[B, N, T]``, each by its weight ``[B, N]``;
        ``mix`` times the summed cross-entropy of ``reference`` ``[B, C, T]``; and that of the
        batches ``beside``, each times its factor."""
        loss = -(weights * sentence_log_probs(self.captioner, features, tags, drawn)).sum()
        if mix > 0:
            loss = loss + mix * cross_entropy(
                self.captioner.decoder, features, tags, reference, reduction="sum"
            )
        return loss + self.beside(beside, 0.0)


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
    beside: Beside | None = None,
) -> float:
    """Train on ``objective``, a ``SelfCritical``; returns the mean reward.

    Source: Rennie et al., CVPR 2017, with the mean of a picture's other samples as the baseline
    (Luo, arXiv 2003.09971). Sentences are drawn without dropout, then scored in one parallel pass.

    Args:
        mix: weight of the cross-entropy of one of the picture's captions, drawn at random, beside
            the reward (Wu et al., arXiv 1609.08144, equation 9).
        beside: what else each step learns from, by cross-entropy.
    """
    batch = batch.to(optimisation.device)
    captioner.eval()
    with optimisation.autocast():
        features = features_of(captioner, batch.images)
        tags = tags_of(captioner, features, batch)
        drawn = sample(captioner, features, tags, samples, max_length)  # (B, N, T)
    rewards = reward(drawn, batch.indices).to(optimisation.device)  # (B, N)
    others = (rewards.sum(1, keepdim=True) - rewards) / (samples - 1)
    reference = _one_of(batch.captions)
    more = taken(beside, optimisation.device)
    captioner.train()
    with optimisation.autocast():
        weights = (rewards - others) * share(drawn)
        loss = objective(features, tags, drawn, weights, reference, mix * share(reference), more)
    optimisation.step(loss, captioner)
    return float(parallel.total(rewards.mean())) / parallel.world_size()


def _one_of(captions: Tensor) -> Tensor:
    """A random caption of each picture: ``[B, C, T]`` to ``[B, 1, T]``."""
    written = (captions != PAD).any(-1).float()  # (B, C): pictures may have fewer than C
    drawn = torch.multinomial(written, 1)  # (B, 1)
    return captions.gather(1, drawn.unsqueeze(-1).expand(-1, -1, captions.shape[2]))


@torch.no_grad()
def sample(
    captioner: Captioner, features: Tensor, tags: Tags, samples: int, max_length: int
) -> Tensor:
    """Draw ``samples`` sentences for each picture: ids ``[B, N, max_length + 1]``."""
    B, T = features.shape[0], max_length + 1
    memory, state = captioner.decoder.start(features, tags, samples)
    drawn = torch.full((B, samples, T), PAD, device=features.device)
    last = torch.full((B, samples), SOS, device=features.device)
    finished = torch.zeros_like(last, dtype=torch.bool)
    steps = torch.arange(T, device=features.device)
    for t in range(T):
        logits, state, _ = captioner.decoder.step(last, memory, state)
        probabilities = captioner.log_probs(logits, steps[t], T).exp()
        # Rows of the last step hold only the price of <EOS>; they need not sum to 1.
        last = draw(probabilities).masked_fill(finished, PAD)
        drawn[:, :, t] = last
        finished |= last == EOS
        if bool(finished.all()):
            break
    return drawn


def sentence_log_probs(captioner: Captioner, features: Tensor, tags: Tags, drawn: Tensor) -> Tensor:
    """Differentiable log-probabilities ``[B, N]`` of sentences ``[B, N, T]``."""
    longest = int((drawn != PAD).sum(-1).max())
    drawn = drawn[:, :, :longest]
    kept = drawn != PAD
    hidden = captioner.decoder(features, tags, shift_right(drawn))[kept]
    # The first word was drawn without <EOS> among the choices: the same price is paid here.
    first = torch.zeros_like(kept)
    first[:, :, 0] = True
    forbidden = torch.where(
        first[kept].unsqueeze(1), captioner.forbidden_first, captioner.forbidden
    )
    logits = captioner.decoder.logits(hidden).float() + forbidden
    chosen = logits.log_softmax(-1).gather(1, drawn[kept].unsqueeze(1)).squeeze(1)
    return torch.zeros(drawn.shape, device=drawn.device).masked_scatter(kept, chosen).sum(-1)
