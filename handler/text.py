"""The words of captions: the vocabulary file, and tokens joined into a readable sentence."""

import json
from collections.abc import Sequence
from pathlib import Path

PAD, SOS, EOS, UNK = range(4)
SPECIALS = ("<PAD>", "<SOS>", "<EOS>", "<UNK>")

# How nltk.word_tokenize, which is undone here, splits English words and punctuation.
_JOINS_LEFT = frozenset(
    ["n't", "'s", "'m", "'d", "'re", "'ve", "'ll"]
    + [",", ".", ";", ":", "!", "?", "%", "...", ")", "]", "}"]
)
_JOINS_RIGHT = frozenset("([{$#")
_ONE_WORD = frozenset(
    [("can", "not"), ("gon", "na"), ("wan", "na"), ("got", "ta"), ("gim", "me"), ("lem", "me")]
)
_STRAIGHT = {"``": '"', "''": '"'}


def read_vocabulary(path: str | Path) -> list[str]:
    """Read `vocab.json`, the mapping from each token to its id, as the list of tokens by id.

    Raises:
        ValueError: the file is not such a mapping, its ids are not 0..n-1, each used once, or the
            special tokens are not the first four.
    """
    name = Path(path).name
    try:
        stoi = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{name} is not JSON: {error}") from error
    if not isinstance(stoi, dict) or not all(type(index) is int for index in stoi.values()):
        raise ValueError(f"{name} must map every token to a whole number")
    itos = sorted(stoi, key=stoi.__getitem__)
    if [stoi[token] for token in itos] != list(range(len(itos))):
        raise ValueError(f"{name} must use each id from 0 to {len(itos) - 1} once")
    if tuple(itos[: len(SPECIALS)]) != SPECIALS:
        raise ValueError(f"{name} must begin with {', '.join(SPECIALS)}, not {itos[:4]}")
    return itos


def detokenise(words: Sequence[str]) -> str:
    """Join tokens into a sentence: `["it", "is", "n't", "red", "."]` gives `"it isn't red."`.

    The inverse of `nltk.word_tokenize` as far as there is one: that splits `cannot` and `can not`
    alike, and an apostrophe after an s is taken for a possessive.
    """
    sentence = ""
    previous = ""
    glue = True  # no space follows the start of the sentence or an opening mark
    opened: set[str] = set()
    for word in words:
        opens, closes = _quotes(word, previous, opened)
        joined = glue or closes or word in _JOINS_LEFT or (previous, word) in _ONE_WORD
        sentence += ("" if joined else " ") + _STRAIGHT.get(word, word)
        glue = opens or word in _JOINS_RIGHT
        previous = word
    return sentence


def _quotes(word: str, previous: str, opened: set[str]) -> tuple[bool, bool]:
    """Return whether a token opens, or closes, a quotation; straight marks alternate."""
    if word not in ('"', "'"):
        return word == "``", word == "''"
    closes = word in opened or (word == "'" and previous.endswith("s"))
    (opened.discard if closes else opened.add)(word)
    return not closes, closes
