"""Faults of captions that corpus scores do not show: counted by form, without any reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from handler.text import SPECIALS, UNK
from training.data.vocabulary import tokenise
from training.metrics.function_words import (
    ARTICLES,
    AUXILIARIES,
    CONJUNCTIONS,
    POSSESSIVES,
    PREPOSITIONS,
    words,
)

# Prepositions that are adverbs too, and end good sentences ("stands by", "looks on", "jumps up").
# The choice follows the 30,000 training captions of Flickr8k, of which at most two end in any
# other preposition; "in" ends 13, mostly by mistake, and stays a fault.
FINAL_PARTICLES = words(
    "above along around behind below by down inside near off on out outside over past underneath up"
)
# "her" is an object too ("a dog behind her").
DANGLING = (
    ARTICLES
    | (POSSESSIVES - {"her"})
    | (PREPOSITIONS - FINAL_PARTICLES)
    | CONJUNCTIONS
    | (AUXILIARIES - {"n't", "not"})
)


def count_faults(captions: Iterable[str], max_length: int) -> dict[str, int]:
    """How many captions have each fault; one caption may have several.

    ``unknown``: it holds ``<UNK>``; ``dangling``: it ends in a word that needs another one after
    it; ``repeated``: the same word twice in a row, or the same three words twice; ``cut``: it has
    all of ``max_length`` words, so that it was closed by force.
    """
    faults: dict[str, Callable[[str, list[str]], bool]] = {
        "unknown": lambda caption, _: SPECIALS[UNK] in caption,
        "dangling": lambda _, tokens: bool(DANGLING.intersection(tokens[-1:])),
        "repeated": lambda _, tokens: _repeats(tokens),
        "cut": lambda _, tokens: len(tokens) >= max_length,
    }
    split = [(caption, tokenise(caption.replace(SPECIALS[UNK], "unknown"))) for caption in captions]
    return {name: sum(has(*each) for each in split) for name, has in faults.items()}


def _repeats(tokens: list[str]) -> bool:
    pairs = zip(tokens, tokens[1:], strict=False)
    triples = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return any(a == b for a, b in pairs) or len(set(triples)) < len(triples)
