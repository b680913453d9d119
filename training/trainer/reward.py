"""Rewards of self-critical training, on token ids.

``<EOS>`` counts as a word of samples and references alike: without it, sentences that stop in the
middle score as if they were whole (Hu et al., arXiv 2305.12254).
"""

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


References = Sequence[Sequence[Sequence[int]]]


class Reward:
    """CIDEr-D and a share of BLEU-4 of sampled sentences against their picture's captions."""

    def __init__(self, references: References, bleu: float = 0.0) -> None:
        """``references[i]`` holds the captions of picture ``i`` as ids, closed by ``<EOS>``.

        Args:
            bleu: weight of BLEU-4 (0 to 1) beside CIDEr-D (0 to 10).
        """
        self._scores = [(1.0, CiderD(references).score)]
        if bleu:
            self._scores.append((bleu, SentenceBleu(references).score))

    def __call__(self, samples: Tensor, indices: Tensor) -> Tensor:
        """Rewards ``[B, N]`` of ``samples`` ``[B, N, T]`` for the pictures ``indices`` ``[B]``."""
        rewards = [
            [
                sum(weight * score(words, index) for weight, score in self._scores)
                for words in map(_words, rows)
            ]
            for rows, index in zip(samples.tolist(), indices.tolist(), strict=True)
        ]
        return torch.tensor(rewards)


class SentenceBleu:
    """BLEU-4 of single sentences (Papineni et al., ACL 2002).

    Counts of bigrams and longer are raised by one (Lin & Och, COLING 2004), so that a sentence
    without a matching 4-gram is still better or worse than another.
    """

    def __init__(self, references: References) -> None:
        self._most: list[Counter[Ngram]] = []  # of each n-gram, in any caption of the picture
        for captions in references:
            most: Counter[Ngram] = Counter()
            for caption in captions:
                most |= _ngrams(caption)
            self._most.append(most)
        self._lengths = [[len(caption) for caption in captions] for captions in references]

    def score(self, caption: Sequence[int], index: int) -> float:
        """BLEU-4, 0 to 1, of one caption for picture ``index``."""
        matches, possible = [0, 1, 1, 1], [0, 1, 1, 1]
        for ngram, count in _ngrams(caption).items():
            matches[len(ngram) - 1] += min(count, self._most[index][ngram])
            possible[len(ngram) - 1] += count
        if not matches[0]:
            return 0.0
        length = len(caption)
        closest = min(self._lengths[index], key=lambda other: (abs(other - length), other))
        brevity = min(0.0, 1 - closest / length)
        logs = sum(math.log(m / p) for m, p in zip(matches, possible, strict=True))
        return math.exp(brevity + logs / MAX_N)


class CiderD:
    """CIDEr-D (Vedantam et al., CVPR 2015); document frequencies come from the references."""

    def __init__(self, references: References) -> None:
        counts = [[_ngrams(caption) for caption in captions] for captions in references]
        seen: Counter[Ngram] = Counter()
        for captions in counts:
            seen.update({ngram for caption in captions for ngram in caption})
        self._frequency = seen
        self._log_pictures = math.log(len(references))
        self._references = [[self._vector(caption) for caption in each] for each in counts]

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
