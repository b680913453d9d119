"""CIDEr-D as a reward for self-critical training, on token ids and with ``<EOS>`` as a word."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from handler.text import EOS, PAD

MAX_N = 4
SIGMA = 6.0  # of the Gaussian penalty on the difference of lengths

Ngram = tuple[int, ...]
Vector = tuple[list[dict[Ngram, float]], list[float], int]  # weights and norm by n; length


class CiderReward:
    """CIDEr-D (Vedantam et al., CVPR 2015) of sampled sentences against a picture's references.

    Document frequencies come from the references. ``<EOS>`` counts as a word on both sides:
    without it, sentences that stop in the middle score as if they were whole (Hu et al., arXiv
    2305.12254).
    """

    def __init__(self, references: Sequence[Sequence[Sequence[int]]]) -> None:
        """``references[i]`` holds the captions of picture ``i`` as ids, closed by ``<EOS>``."""
        counts = [[_ngrams(caption) for caption in captions] for captions in references]
        seen: Counter[Ngram] = Counter()
        for captions in counts:
            seen.update({ngram for caption in captions for ngram in caption})
        self._frequency = seen
        self._log_pictures = math.log(len(references))
        self._references = [[self._vector(caption) for caption in each] for each in counts]

    def __call__(self, samples: Tensor, indices: Tensor) -> Tensor:
        """Rewards ``[B, N]`` of ``samples`` ``[B, N, T]`` for the pictures ``indices`` ``[B]``."""
        rewards = [
            [self.score(_words(row), index) for row in rows]
            for rows, index in zip(samples.tolist(), indices.tolist(), strict=True)
        ]
        return torch.tensor(rewards)

    def score(self, caption: Sequence[int], index: int) -> float:
        """CIDEr-D, times ten as is usual, of one caption for picture ``index``."""
        vector = self._vector(_ngrams(caption))
        references = self._references[index]
        return 10.0 * sum(_similarity(vector, other) for other in references) / len(references)

    def _vector(self, counts: Counter[Ngram]) -> Vector:
        weights: list[dict[Ngram, float]] = [{} for _ in range(MAX_N)]
        length = 0
        for ngram, count in counts.items():
            rarity = self._log_pictures - math.log(max(1, self._frequency[ngram]))
            weights[len(ngram) - 1][ngram] = count * rarity
            # The reference implementation measures length in bigrams.
            length += count if len(ngram) == 2 else 0
        norms = [math.sqrt(sum(w * w for w in by_n.values())) for by_n in weights]
        return weights, norms, length


def _ngrams(caption: Sequence[int]) -> Counter[Ngram]:
    return Counter(
        tuple(caption[i : i + n]) for n in range(1, MAX_N + 1) for i in range(len(caption) - n + 1)
    )


def _similarity(candidate: Vector, reference: Vector) -> float:
    penalty = math.exp(-((candidate[2] - reference[2]) ** 2) / (2 * SIGMA**2))
    total = 0.0
    for ours, theirs, norm, other in zip(
        candidate[0], reference[0], candidate[1], reference[1], strict=True
    ):
        if norm and other:
            shared = sum(min(w, theirs[g]) * theirs[g] for g, w in ours.items() if g in theirs)
            total += shared / (norm * other)
    return penalty * total / MAX_N


def _words(row: Sequence[int]) -> list[int]:
    """Ids up to and with ``<EOS>``."""
    words = []
    for index in row:
        if index == PAD:
            break
        words.append(index)
        if index == EOS:
            break
    return words
