"""Tags: the things that an encoder's own ImageNet classifier sees, by their plain words."""

from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from handler.text import PAD, SPECIALS

CLASSES = 1000  # of ImageNet


class Tags(NamedTuple):
    """What a picture shows, most probable first."""

    words: Tensor  # [B, N] int64, token ids; <PAD> where there is none
    probabilities: Tensor  # [B, N] float32
    # [B] float32, 0 to 1: how unlike the pictures of the first training data it is, of which the
    # captions are known (see ``Rules``); 1 where there is no picture.
    elsewhere: Tensor


class Tagger(nn.Module):
    """The classifier that came with an encoder, its classes summed by the words people say.

    It reads the decoder's features, so tags cost next to nothing: an encoder that is fine-tuned
    gently, its depthwise filters and statistics frozen, goes on to recognise what it did before.

    Args:
        count: tags of a picture; 0: none.
        channels: of the encoder's features.
    """

    specials: Final[int] = len(SPECIALS)
    plain: Tensor
    means: Tensor

    def __init__(self, vocab_size: int, channels: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.vocab_size = vocab_size
        classes = CLASSES if count else 0
        self.classifier = nn.Linear(channels, 1)
        self.classifier.weight = nn.Parameter(torch.zeros(classes, channels), requires_grad=False)
        self.classifier.bias = nn.Parameter(torch.zeros(classes), requires_grad=False)
        self.register_buffer("plain", torch.full((classes,), PAD))  # the word for each class
        # The plain word that a word stands for ("kittens": cat); <PAD>: none.
        self.register_buffer("means", torch.full((vocab_size,), PAD))

    def forward(self, features: Tensor, elsewhere: Tensor) -> Tags:
        """The ``count`` most probable things in pictures, from features ``[B, G, D]``; what is
        known of them besides, ``elsewhere`` ``[B]``, is passed on."""
        B = features.shape[0]
        if self.count == 0:
            nothing = torch.zeros(B, 0, device=features.device)
            return Tags(nothing.long(), nothing, elsewhere)
        logits = self.classifier(features.mean(1)).float()
        by_word = torch.zeros(B, self.vocab_size, device=features.device)
        by_word = by_word.scatter_add(1, self.plain.expand(B, -1), logits.softmax(-1))
        probabilities, words = by_word[:, self.specials :].topk(self.count, dim=1)
        return Tags(words + self.specials, probabilities, elsewhere)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Weights from before there were tags make a tagger that has none."""
        for name, value in self.state_dict().items():
            state_dict.setdefault(prefix + name, value)
        super()._load_from_state_dict(state_dict, prefix, *rest)
