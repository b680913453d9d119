"""What the confidence of a caption means, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from training.data.things import PEOPLE, read_things
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


def confirmed_words(caption: str, references: Iterable[str]) -> list[str]:
    """Those of a caption's content words that at least one of the references uses too."""
    used = {word for reference in references for word in content_words(reference)}
    return [word for word in content_words(caption) if word in used]


def confirmed_share(caption: str, references: Iterable[str]) -> float:
    """The share of a caption's content words that at least one of the references uses too.

    0 for a caption without any: it says nothing that could be confirmed.
    """
    words = content_words(caption)
    return len(confirmed_words(caption, references)) / max(len(words), 1)


def made_up(caption: str, references: Iterable[str]) -> bool:
    """Whether a caption names a thing or a person that no reference names, by whatever word.

    A thing is what ``training.data.things`` lists; "kitten" and "cat" are one, and all people are.
    """
    named = {thing for reference in references for thing in _named(reference)}
    return not named.issuperset(_named(caption))


def _named(caption: str) -> set[str]:
    means, words = read_things().means, tokenise(caption)
    phrases = [" ".join(pair) for pair in zip(words, words[1:], strict=False)]
    inside = {word for phrase in phrases if phrase in means for word in phrase.split()}
    things = {means[w] for w in [*phrases, *words] if w in means and w not in inside}
    return things | ({"person"} if PEOPLE.intersection(words) else set())


def calibration_error(confidences: Sequence[float], shares: Sequence[float]) -> float:
    """Expected calibration error, of 15 bins of equal width.

    The mean distance of confidence and outcome over the bins, weighted by what lies in each (Guo
    et al., ICML 2017). The outcome is a share of words here, not a hit or a miss.
    """
    confidence, share = torch.tensor(confidences).double(), torch.tensor(shares).double()
    number = (confidence * BINS).long().clamp(0, BINS - 1)
    gaps: Tensor = torch.zeros(BINS, dtype=torch.double).index_add(0, number, confidence - share)
    return float(gaps.abs().sum() / len(confidence))


def best_threshold(confidence: Tensor, good: Tensor) -> float:
    """The confidence that best parts ``good`` captions (bool ``[N]``) from others, by the share of
    the others below it less that of the good ones (Youden, 1950); 0 or 1 where all or none are."""
    if good.all() or not good.any():
        return float(not good.any())
    ranked, order = confidence.sort()
    of_good = good[order].double().cumsum(0) / good.sum()
    of_others = (~good[order]).double().cumsum(0) / (~good).sum()
    last = int((of_others - of_good).argmax())
    return float(ranked[last : last + 2].mean())
