"""Habits of captions: what people never do in theirs, so that no caption of ours does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from handler.text import EOS, PAD, SPECIALS
from training.data.things import PEOPLE, plural_of, read_things

REPEATED = 0.05  # of the captions with a word: how many may hold it twice, if it comes but once
SOON = 0.01  # of the captions with a word: how many may hold it again soon, if none should
LAST = 0.003  # of the captions with a word: how many may end with it, if none should
NOUN = 0.05  # of the captions with a noun: how many have it right after an article, at least
LEADING = 0.05  # of the captions with a word: how many name a thing right after it, at least
SEVERAL = 0.68  # of the things named soon after a word: how many are plural, if it asks for them
OTHERS = 0.25  # of the usual possessive with a person: how often another may be there, if wrong
SEEN = 30  # captions that it takes to know what people never do


class Habits(NamedTuple):
    """Tables over a vocabulary: see ``training.model.rules.Rules``."""

    again: Tensor  # [V, 2] int64
    soon: Tensor  # [V]
    unclosed: Tensor  # [V]
    heads: Tensor  # [V]
    people: Tensor  # [V]
    leads: Tensor  # [V]
    several: Tensor  # [V]
    single: Tensor  # [V]
    theirs: Tensor  # [V] int64
    kinds: Tensor  # [V] int64
    vowels: Tensor  # [V]
    articles: Tensor  # [2] int64


def learn_habits(captions: Iterable[Sequence[int]], itos: Sequence[str]) -> Habits:
    """What words rule out, from captions as ids (those that were cut are without ``<EOS>``).

    A word that people hardly ever use twice in a caption comes but once, and rules out its other
    number too; one that they do repeat, but not among its next three words, not so soon; one that
    they never end with ends none. A noun is what things are, and what often comes right after an
    article. What is too rare to tell, or is no word, may come again. After "two" and "a group of"
    things are plural; a man has nothing that is hers.
    """
    seen = _Seen(captions, itos)
    held = seen.held
    said = {
        word: index
        for index, word in enumerate(itos)
        if index >= len(SPECIALS) and any(letter.isalpha() for letter in word)
    }
    once = {word: i for word, i in said.items() if seen.twice[i] <= REPEATED * held[i]}
    other = _other_numbers(once.keys())
    again = torch.full((len(itos), 2), PAD)
    for word, index in once.items():
        phrase, _, last = word.rpartition(" ")  # "a bow tie and a tie"
        partner = last if phrase and last in once else other.get(word, word)
        again[index] = torch.tensor([index, once[partner]])
    soon, unclosed, heads = (torch.zeros(len(itos)) for _ in range(3))
    for word, index in said.items():
        noun = held[index] >= SEEN and seen.after[index] >= NOUN * held[index]
        heads[index] = word in read_things().means or (noun and not word.endswith(("ed", "ing")))
        if held[index] >= SEEN:
            soon[index] = seen.near[index] <= SOON * held[index]
            unclosed[index] = seen.ends[index] <= LAST * held[index]
    people = torch.tensor([float(word in PEOPLE) for word in itos])
    leads = torch.tensor([float(seen.led[i] > LEADING * held[i]) for i in range(len(itos))])
    several = torch.tensor([float(seen.asks_for_several(i)) for i in range(len(itos))])
    single = torch.tensor([float(word in read_things().singulars) for word in itos])
    theirs = torch.tensor([seen.not_theirs(i) for i in range(len(itos))])
    named = read_things().by_word
    vowels = torch.tensor(
        [
            float(seen.heard[i] > 0 or (w in named and named[w].article == "an"))
            for i, w in enumerate(itos)
        ]
    )
    ids = torch.tensor(seen.a_and_an if PAD not in seen.a_and_an else [PAD, PAD])
    tables = (
        again,
        soon,
        unclosed,
        heads,
        people,
        leads,
        several,
        single,
        theirs,
        _kinds(itos),
        vowels,
    )
    return Habits(*tables, ids)


def _kinds(itos: Sequence[str]) -> Tensor:
    """For each word that names a thing or a person, the first word that names the same."""
    first: dict[str, int] = {}
    means = read_things().means | dict.fromkeys(PEOPLE, "person")
    named = [first.setdefault(means[w], i) if w in means else PAD for i, w in enumerate(itos)]
    return torch.tensor(named)


class _Seen:
    """How often each word was seen, in how many captions or places of each kind."""

    def __init__(self, captions: Iterable[Sequence[int]], itos: Sequence[str]) -> None:
        self.held: Counter[int] = Counter()  # captions with it
        self.twice: Counter[int] = Counter()  # captions with it more than once
        self.near: Counter[int] = Counter()  # captions with it again, one or two words later
        self.ends: Counter[int] = Counter()  # captions that end with it
        self.after: Counter[int] = Counter()  # places right after an article
        self.heard: Counter[int] = Counter()  # places after "an", less those after "a"
        self.led: Counter[int] = Counter()  # places right before the name of a thing
        self.followed: Counter[tuple[int, bool]] = Counter()  # one or two places before a thing
        self.owned: Counter[tuple[int, int]] = Counter()  # captions with a person and a possessive
        self.a_and_an = [itos.index(word) if word in itos else PAD for word in ("a", "an")]
        self._things = {i for i, word in enumerate(itos) if word in read_things().means}
        self._plurals = {i for i in self._things if itos[i] in read_things().plurals}
        self._people = {i for i, word in enumerate(itos) if word in PEOPLE}
        self._possessives = [itos.index(word) for word in ("his", "her") if word in itos]
        self._articles = {i for i, word in enumerate(itos) if word in read_things().articles}
        for caption in captions:
            self._count(caption)

    def _count(self, caption: Sequence[int]) -> None:
        counts = Counter(caption)
        self.held.update(counts.keys())
        self.twice.update(word for word, count in counts.items() if count > 1)
        apart = [*zip(caption, caption[2:], strict=False), *zip(caption, caption[3:], strict=False)]
        self.near.update({word for word, other in apart if word == other})
        pairs = list(zip(caption, caption[1:], strict=False))
        a, an = self.a_and_an
        self.after.update(word for before, word in pairs if before in self._articles)
        self.heard.update(word for before, word in pairs if before == an)
        self.heard.subtract(word for before, word in pairs if before == a)
        self.led.update(before for before, word in pairs if word in self._things)
        for before, word in [*pairs, *zip(caption, caption[2:], strict=False)]:
            if word in self._things:
                self.followed[before, word in self._plurals] += 1
        people = self._people.intersection(caption)
        owners = [owner for owner in self._possessives if owner in caption]
        self.owned.update((person, owner) for person in people for owner in owners)
        if len(caption) > 1 and caption[-1] == EOS:
            self.ends[caption[-2]] += 1

    def asks_for_several(self, word: int) -> bool:
        """Whether what is named one or two places after a word is nearly always plural."""
        one, several = self.followed[word, False], self.followed[word, True]
        return several >= SEEN and several >= SEVERAL * (one + several)

    def not_theirs(self, person: int) -> int:
        """The possessive that people do not use of a person ("his" of a woman), or ``<PAD>``."""
        owned = {owner: self.owned[person, owner] for owner in self._possessives}
        rarest = min(owned, key=owned.__getitem__, default=PAD)
        most = max(owned.values(), default=0)
        return rarest if most >= SEEN and owned[rarest] <= OTHERS * most else PAD


def _other_numbers(words: Collection[str]) -> dict[str, str]:
    """The plural of a singular and the singular of a plural, where both are among ``words``."""
    plurals = {word: plural_of(word) for word in words if len(word) > 2}
    plurals |= {word: thing.plural for word, thing in read_things().by_word.items()}
    pairs = [(word, plurals[word]) for word in words if plurals.get(word) in words]
    return {plural: word for word, plural in pairs} | dict(pairs)
