"""The confidence of adopted captioners: plain until it is fitted on pictures with captions."""

from typing import Final

import torch
from torch import Tensor, nn

SIGNS = 2


class PlainConfidence(nn.Module):
    """The share of a caption's content words that people would confirm, once it is fitted.

    A logistic function of the geometric mean of the tokens' probabilities and of the least probable
    token. Unlike our own captioners', it does not ask whether the picture is a photo: these models
    have seen drawings too. Before it is fitted, the confidence is the geometric mean itself.
    """

    pad: Final[int]
    fitted: Tensor
    words: Tensor

    def __init__(self, pad: int) -> None:
        super().__init__()
        self.pad = pad
        self.register_buffer("fitted", torch.zeros(()))  # 1: the other one holds something
        self.register_buffer("words", torch.zeros(1 + SIGNS))  # intercept and slopes

    def forward(self, tokens: Tensor, log_probs: Tensor) -> Tensor:
        """Confidences ``[B, K]``, 0 to 1, of sentences ``[B, K, T]``."""
        signs = self.signs(tokens, log_probs)
        words = self.words.float()
        confirmed = torch.sigmoid(words[0] + (signs * words[1:]).sum(-1))
        return torch.where(self.fitted > 0, confirmed, signs[:, :, 0])

    @torch.jit.export
    def signs(self, tokens: Tensor, log_probs: Tensor) -> Tensor:
        """What speaks for sentences, ``[B, K, SIGNS]``, each from 0 to 1."""
        said = tokens != self.pad
        mean = log_probs.sum(-1) / said.sum(-1).clamp(min=1)
        least = torch.where(said, log_probs, 0.0).amin(-1)
        return torch.stack([mean, least], dim=-1).exp()
