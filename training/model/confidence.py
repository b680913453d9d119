"""Confidence: how far a caption can be trusted, as ``training.calibrate`` found out."""

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handler.text import PAD
from training.model.tagger import Tags

MAX_FEATURE = 1e4  # larger ones are cut, so that no picture makes a sum overflow
SIGNS = 4  # of a caption's truth: see ``Calibration.signs``


class Calibration(nn.Module):
    """The share of a caption's content words that people would confirm, as expected.

    The product of two logistic functions:
      - of the signs of a caption's truth (see ``signs``): the share that is confirmed where the
        picture is a photo like those of the training data;
      - of the encoder's features, averaged over the grid: whether it is one. A word about anything
        else is a guess. The direction in which both differ is learnt from drawn pictures (outlier
        exposure: Hendrycks, Mazeika & Dietterich, ICLR 2019).

    The distance to the training pictures' features, which needs no outliers (Lee et al., NeurIPS
    2018), was tried first and does not help here: in a captioner's encoder the features of plain
    pictures lie near the middle of those of photos.

    Before it is fitted, the confidence is the geometric mean of the tokens' probabilities, <EOS>
    included.
    """

    pad: Final[int] = PAD
    limit: Final[float] = MAX_FEATURE
    fitted: Tensor
    content: Tensor
    words: Tensor
    photo: Tensor
    photo_bias: Tensor

    def __init__(self, vocab_size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.zeros(()))  # 1: the others hold something
        self.register_buffer("content", torch.zeros(vocab_size))  # 1 for content words
        self.register_buffer("words", torch.zeros(1 + SIGNS))  # intercept and slopes
        self.register_buffer("photo", torch.zeros(channels))  # weights
        self.register_buffer("photo_bias", torch.zeros(()))

    def forward(
        self, features: Tensor, tags: Tags, means: Tensor, tokens: Tensor, log_probs: Tensor
    ) -> Tensor:
        """Confidences ``[B, K]``, 0 to 1, in float32 whatever the weights are stored in.

        Args:
            features: the encoder's ``[B, G, D]``; tags: of the same pictures.
            means: ``Tagger.means``.
            tokens: of the sentences, ``[B, K, T]``; log_probs: theirs, natural.
        """
        words = self.words.float()
        signs = self.signs(tags, means, tokens, log_probs)
        confirmed = torch.sigmoid(words[0] + (signs * words[1:]).sum(-1))
        photo = torch.sigmoid(self.photo_score(features))
        length = (tokens != self.pad).sum(-1).clamp(min=1)
        plain = (log_probs.sum(-1) / length).exp()  # (B, K)
        return torch.where(self.fitted > 0, confirmed * photo.unsqueeze(1), plain)

    def signs(self, tags: Tags, means: Tensor, tokens: Tensor, log_probs: Tensor) -> Tensor:
        """What speaks for and against sentences, ``[B, K, SIGNS]``, each from 0 to 1.

        The mean probability of the content words, and that of the least probable one; how probable
        the tags are that the sentence names, and how sure the surest that it does not. What names
        a tag is as probable as the tag where a sentence says it because the tag is sure.
        """
        # A tag more, of no probability, so that there is always one.
        sure = F.pad(tags.probabilities.float(), [0, 1])[:, None, None]  # (B, 1, 1, N + 1)
        words = F.pad(tags.words, [0, 1])[:, None, None]
        names = means[tokens].unsqueeze(-1) == words  # (B, K, T, N + 1)
        told = torch.where(names, sure, 0.0).amax(-1)
        probabilities = torch.maximum(log_probs.exp(), told)
        content = self.content.float()[tokens]  # (B, K, T)
        count = content.sum(-1)
        mean = (probabilities * content).sum(-1) / count.clamp(min=1)
        least = torch.where(content > 0, probabilities, 1.0).amin(-1) * (count > 0)
        named = names.any(2)  # (B, K, N + 1)
        agrees = torch.where(named, sure[:, 0], 0.0).sum(-1)
        differs = torch.where(named, 0.0, sure[:, 0]).amax(-1)
        return torch.stack([mean, least, agrees, differs], dim=-1)

    def photo_score(self, features: Tensor) -> Tensor:
        """The logit ``[B]`` of a picture's being a photo."""
        features = features.float().clamp(-self.limit, self.limit)
        return features.mean(1) @ self.photo.float() + self.photo_bias.float()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Weights from before there was a calibration make one that is not fitted; those from
        before there were tags know the first sign alone."""
        for name, buffer in self.named_buffers():
            state_dict.setdefault(prefix + name, torch.zeros_like(buffer))
        words = state_dict[prefix + "words"]
        missing = 1 + SIGNS - len(words)
        state_dict[prefix + "words"] = F.pad(words, [0, missing])
        super()._load_from_state_dict(state_dict, prefix, *rest)
