"""The words of captions: whole tokens or several, joined into sentences, and put otherwise."""

import json
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, Protocol

PAD, SOS, EOS, UNK = range(4)
SPECIALS = ("<PAD>", "<SOS>", "<EOS>", "<UNK>")
VOCABULARY, TOKENIZER = "vocab.json", "tokenizer.json"  # one of them is in an archive

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

# What is said of people of whom one can see an age, perhaps, and no gender.
_NEUTRAL = {
    **dict.fromkeys(["man", "woman", "guy", "lady", "gentleman"], "person"),
    **dict.fromkeys(["men", "women", "guys", "ladies", "gentlemen"], "people"),
    **dict.fromkeys(["boy", "girl", "son", "daughter"], "child"),
    **dict.fromkeys(["boys", "girls", "sons", "daughters"], "children"),
    **dict.fromkeys(["father", "mother"], "parent"),
    **dict.fromkeys(["brother", "sister"], "sibling"),
    **dict.fromkeys(["brothers", "sisters"], "siblings"),
    **dict.fromkeys(["husband", "wife"], "partner"),
    **dict.fromkeys(["businessman", "businesswoman"], "businessperson"),
    **dict.fromkeys(["policeman", "policewoman"], "officer"),
    **dict.fromkeys(["fireman"], "firefighter"),
    **dict.fromkeys(["male", "female"], ""),
    **dict.fromkeys(["he", "she"], "they"),
    **dict.fromkeys(["his", "her"], "their"),
    **dict.fromkeys(["him"], "them"),
    **dict.fromkeys(["himself", "herself"], "themself"),
}
_SEVERAL = ("people", "children", "siblings")
_AFTER_THEY = {"is": "are", "was": "were", "has": "have", "does": "do"}
_ENOUGH = 2  # content words in which another caption is a different one


class Word(NamedTuple):
    """A word of a caption, and the places of the tokens that it is made of."""

    text: str
    places: list[int]


class Words(Protocol):
    """What a captioner's tokens mean."""

    names: list[str]  # of the tokens, by id

    def read(self, tokens: Sequence[int]) -> tuple[str, list[Word]]:
        """The sentence that tokens make, and its words; its end and padding are none."""

    def fit(self, size: int) -> bool:
        """Whether they are the tokens of a captioner that knows so many."""


class WholeWords:
    """A vocabulary of our own captioners, in which each token is a word."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def read(self, tokens: Sequence[int]) -> tuple[str, list[Word]]:
        """The sentence that tokens make, and its words."""
        words = [
            Word(self.names[token], [place])
            for place, token in enumerate(tokens)
            if token not in (PAD, EOS)
        ]
        return detokenise([word.text for word in words]), words

    def fit(self, size: int) -> bool:
        """Whether they are the tokens of a captioner that knows so many."""
        return len(self.names) == size


class Pieces:
    """The tokens of an adopted captioner, several of which may make a word.

    Args:
        end: the token that ends a sentence.

    Raises:
        ValueError: the file is no tokenizer, or the package that reads it is not installed.
    """

    def __init__(self, path: Path, end: int) -> None:
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise ValueError(
                "the words of an adopted model need the package tokenizers; install it beside "
                "Captionize: pip install tokenizers"
            ) from error
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises no other kind
            raise ValueError(f"{path.name} cannot be read: {error}") from error
        self._end = end
        size = self._tokenizer.get_vocab_size()
        self.names = [self._tokenizer.id_to_token(i) or "" for i in range(size)]

    def read(self, tokens: Sequence[int]) -> tuple[str, list[Word]]:
        """The sentence that tokens make, and its words: what spaces part in it."""
        places = [place for place, token in enumerate(tokens) if token not in (-1, self._end)]
        ids = [tokens[place] for place in places]
        words = self._decode(ids).split()
        ends = list(accumulate(map(len, words)))  # in characters that are no spaces
        found: list[list[int]] = [[] for _ in words]
        for count, place in enumerate(places):
            before = len("".join(self._decode(ids[:count]).split()))
            if words:
                found[min(bisect_right(ends, before), len(words) - 1)].append(place)
        made = [Word(word, of) for word, of in zip(words, found, strict=True) if of]
        return " ".join(words), made

    def fit(self, size: int) -> bool:
        """Whether they are the tokens of a captioner that knows so many, some without a name."""
        return len(self.names) <= size

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))


def words_file(folder: Path) -> Path:
    """The file of the words in a folder that holds a model: one of the two kinds."""
    adopted = folder / TOKENIZER
    return adopted if adopted.is_file() else folder / VOCABULARY


def read_words(path: Path, end: int = EOS) -> Words:
    """Read a vocabulary of our own, or the `tokenizer.json` of an adopted model."""
    return Pieces(path, end) if path.name == TOKENIZER else WholeWords(read_vocabulary(path))


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


def say_neutrally(words: Sequence[Word]) -> tuple[str, list[Word]]:
    """The sentence and its words, with person and child where these guess a gender."""
    said = neutral([word.text for word in words])
    made = [Word(text, words[place].places) for place, text in said]
    return detokenise([word.text for word in made]), made


def neutral(words: Sequence[str]) -> list[tuple[int, str]]:
    """Say person and child where words guess a gender; returns what is left of them, each by place.

    `a man and a woman` becomes `a person and another person`, `men and women` `people`.
    """
    said: list[tuple[int, str]] = []
    for place, word in enumerate(words):
        after_they = place > 0 and words[place - 1] in ("he", "she")
        new = (_AFTER_THEY if after_they else _NEUTRAL).get(word, word)
        earlier = [one for _, one in said[-4:]]
        guessed = new != word and not after_they
        if guessed and earlier[-2:] == [new, "and"] and new in _SEVERAL:
            said.pop()  # people and people
        elif guessed and earlier[-2:] == [new, "and"]:
            said.append((place, f"another {new}"))
        elif guessed and earlier == ["a", new, "and", "a"]:
            said[-1] = (said[-1][0], "another")
            said.append((place, new))
        elif new:
            said.append((place, new))
    for at, (place, word) in enumerate(said[:-1]):
        following, after = said[at + 1]
        if word in ("a", "an") and (following > place + 1 or words[following] != after):
            said[at] = (place, "an" if after[:1] in "aeiou" else "a")
    return said


def different(contents: Sequence[frozenset[str]], count: int) -> list[int]:
    """Choose captions by their content words, the most probable first; returns their places.

    The first one stays. Each further one is the most probable of those that have two content words
    more than every one before it, else one more, else any.
    """
    chosen = [0]
    rest = list(range(1, len(contents)))
    while rest and len(chosen) < count:
        new = {
            place: min(min(len(contents[place] - contents[one]) for one in chosen), _ENOUGH)
            for place in rest
        }
        chosen.append(max(rest, key=new.__getitem__))
        rest.remove(chosen[-1])
    return sorted(chosen)


def _quotes(word: str, previous: str, opened: set[str]) -> tuple[bool, bool]:
    """Return whether a token opens, or closes, a quotation; straight marks alternate."""
    if word not in ('"', "'"):
        return word == "``", word == "''"
    closes = word in opened or (word == "'" and previous.endswith("s"))
    (opened.discard if closes else opened.add)(word)
    return not closes, closes
