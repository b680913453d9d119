"""Things: ImageNet's classes by the plain words that people say for them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from csv import QUOTE_NONE, DictReader
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PEOPLE = (
    "person people man men woman women boy boys girl girls child children kid kids baby babies "
    "toddler lady ladies guy guys couple adult adults crowd player players"
)
PEOPLE = frozenset(_PEOPLE.split())
FILE = Path(__file__).with_name("things.tsv")


@dataclass(frozen=True)
class Thing:
    """What one class shows, as a person would say it."""

    word: str
    plural: str
    article: str  # "" where the word takes none ("jeans")
    kind: str  # things of a kind can stand for one another in a sentence
    also: tuple[str, ...]  # other words that mean it, or may mean it


class Things:
    """The things of all classes, and what words mean.

    Args:
        classes: the thing of each class, in the order of ImageNet's.
    """

    def __init__(self, classes: Iterable[Thing]) -> None:
        self.classes = tuple(classes)
        self.by_word = {thing.word: thing for thing in self.classes}
        self.articles = {thing.article for thing in self.classes} - {""}
        self.means = {word: word for word in self.by_word}  # a word -> the plain word
        self.plurals: set[str] = set()  # the words above that mean several
        self.singulars: set[str] = set()  # the words that have one of them
        for thing in self.by_word.values():
            self._add_plural(thing.word, thing.plural, thing.word)
        meant: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for thing in self.classes:
            for word in thing.also:
                meant[word][thing.word] += 1
        for word, things in meant.items():
            ((plain, _),) = things.most_common(1)
            self.means.setdefault(word, plain)
            self._add_plural(word, plural_of(word), plain)

    def _add_plural(self, word: str, plural: str, plain: str) -> None:
        if plural not in self.means:
            self.means[plural] = plain
            self.plurals.add(plural)
            self.singulars.add(word)

    @property
    def words(self) -> list[str]:
        """What a vocabulary needs to name every thing: articles, plain words and their plurals."""
        things = self.by_word.values()
        words = [
            *sorted(self.articles),
            *sorted(self.by_word),
            *sorted(thing.plural for thing in things),
        ]
        return list(dict.fromkeys(words))


def plural_of(word: str) -> str:
    """The regular plural of an English word."""
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"


@cache
def read_things() -> Things:
    """The things in ``things.tsv``."""
    with FILE.open(encoding="utf-8", newline="") as lines:
        return Things(
            Thing(
                row["word"],
                row["plural"],
                row["article"],
                row["kind"],
                tuple(word.replace("_", " ") for word in row["also"].split()),
            )
            for row in DictReader(lines, delimiter="\t", quoting=QUOTE_NONE)
        )
