"""What the confidence of a caption means, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from training.data.vocabulary import tokenise
from training.metrics.function_words import FUNCTION_WORDS

BINS = 15


def content_words(caption: str) -> list[str]:
    """The words of a caption that name something, lower-case and without a plural's s.

    Function words and punctuation are left out. One s at the end is dropped ("dogs", "runs") where
    it is not one of two ("grass"): crude, but the same for the caption and for those it is
    compared with.
    """
    return [
        word.removesuffix("s") if not word.endswith("ss") else word
        for word in tokenise(caption)
        if word not in FUNCTION_WORDS and any(character.isalnum() for character in word)
    ]


def confirmed_share(caption: str, references: Iterable[str]) -> float:
    """The share of a caption's content words that at least one of the references uses too.

    0 for a caption without any: it says nothing that could be confirmed.
    """
    words = content_words(caption)
    used = {word for reference in references for word in content_words(reference)}
    return sum(word in used for word in words) / max(len(words), 1)


def calibration_error(confidences: Sequence[float], shares: Sequence[float]) -> float:
    """Expected calibration error, of 15 bins of equal width.

    The mean distance of confidence and outcome over the bins, weighted by what lies in each (Guo
    et al., ICML 2017). The outcome is a share of words here, not a hit or a miss.
    """
    confidence, share = torch.tensor(confidences).double(), torch.tensor(shares).double()
    number = (confidence * BINS).long().clamp(0, BINS - 1)
    gaps: Tensor = torch.zeros(BINS, dtype=torch.double).index_add(0, number, confidence - share)
    return float(gaps.abs().sum() / len(confidence))
