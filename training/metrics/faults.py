"""Faults of captions that corpus scores do not show: counted by form, without any reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from handler.text import SPECIALS, UNK
from training.data.vocabulary import tokenise
from training.metrics.function_words import (
    ARTICLES,
    AUXILIARIES,
    CONJUNCTIONS,
    FUNCTION_WORDS,
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
LISTING = words("and or ,")


def count_faults(captions: Iterable[str], max_length: int) -> dict[str, int]:
    """How many captions have each fault; one caption may have several.

    ``unknown``: it holds ``<UNK>``; ``dangling``: it ends in a word that needs another one after
    it; ``repeated``: the same word twice in a row, or the same three words twice; ``said_twice``:
    a content word again as if it were something else ("a brown and brown dog", "a dog with a dog",
    but not "side by side"); ``cut``: it has all of ``max_length`` words, so that it was closed by
    force.
    """
    faults: dict[str, Callable[[str, list[str]], bool]] = {
        "unknown": lambda caption, _: SPECIALS[UNK] in caption,
        "dangling": lambda _, tokens: bool(DANGLING.intersection(tokens[-1:])),
        "repeated": lambda _, tokens: _repeats(tokens),
        "said_twice": lambda _, tokens: _says_twice(tokens),
        "cut": lambda _, tokens: len(tokens) >= max_length,
    }
    split = [(caption, tokenise(caption.replace(SPECIALS[UNK], "unknown"))) for caption in captions]
    return {name: sum(has(*each) for each in split) for name, has in faults.items()}


def _repeats(tokens: list[str]) -> bool:
    pairs = zip(tokens, tokens[1:], strict=False)
    triples = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return any(a == b for a, b in pairs) or len(set(triples)) < len(triples)


def _says_twice(tokens: list[str]) -> bool:
    for place, word in enumerate(tokens):
        link, second, third, fourth = [*tokens[place + 1 : place + 5], "", "", "", ""][:4]
        again = link in LISTING and second == word
        if second in ARTICLES and third == word:
            # "A train on a train track" is another thing.
            compound = fourth.isalpha() and fourth not in FUNCTION_WORDS
            compound = compound and not fourth.endswith("ing")
            again = link in CONJUNCTIONS or (link in PREPOSITIONS and not compound)
        if again and word.isalpha() and word not in FUNCTION_WORDS:
            return True
    return False
