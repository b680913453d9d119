"""How far a caption should insist on naming a tag: as far as people name it who see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from training.data.splits import Example
from training.data.vocabulary import Vocabulary
from training.model.captioner import Captioner

TRUSTED = 4  # pictures for which a tag counts as named before any was seen


@torch.no_grad()
def fit_worth(
    captioner: Captioner,
    vocabulary: Vocabulary,
    examples: Sequence[Example],
    features: Tensor,
    insistence: float,
) -> Tensor:
    """What naming each plain word is worth, ``[V]``: see ``training.model.rules.Rules``.

    ``insistence`` times the square of the share of the pictures with this surest tag in which
    somebody names it. A cap or a helmet is often there and seldom spoken of; a dog nearly always.
    What the pictures do not show is trusted.

    Args:
        features: of the pictures of ``examples``, averaged over the grid, ``[N, D]``.
    """
    means = captioner.tagger.means.cpu()
    worth = torch.full((len(vocabulary),), insistence)
    if not captioner.tagger.count:
        return worth.zero_()
    tags = captioner.see(features.float().unsqueeze(1).to(captioner.encoder.mean.device))
    seen, named = Counter[int](), Counter[int]()
    sure = tags.probabilities[:, 0] >= captioner.rules.sure
    for example, word, is_sure in zip(examples, tags.words[:, 0].tolist(), sure, strict=True):
        if is_sure:
            seen[word] += 1
            said = (vocabulary.encode(caption) for caption in example.captions)
            named[word] += any(word in means[torch.tensor(ids)] for ids in said)
    for word, count in seen.items():
        worth[word] *= ((named[word] + TRUSTED) / (count + TRUSTED)) ** 2
    return worth
