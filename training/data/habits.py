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
SEEN = 30  # captions that it takes to know what people never do


class Habits(NamedTuple):
    """Tables over a vocabulary: see ``training.model.rules.Rules``."""

    again: Tensor  # [V, 2] int64
    soon: Tensor  # [V]
    unclosed: Tensor  # [V]
    heads: Tensor  # [V]
    people: Tensor  # [V]
    leads: Tensor  # [V]
    vowels: Tensor  # [V]
    articles: Tensor  # [2] int64


def learn_habits(captions: Iterable[Sequence[int]], itos: Sequence[str]) -> Habits:
    """What words rule out, from captions as ids (those that were cut are without ``<EOS>``).

    A word that people hardly ever use twice in a caption comes but once, and rules out its other
    number too; one that they do repeat, but not among its next three words, not so soon; one that
    they never end with ends none. A noun is what things are, and what often comes right after an
    article. What is too rare to tell, or is no word, may come again.
    """
    held: Counter[int] = Counter()
    twice: Counter[int] = Counter()
    near: Counter[int] = Counter()
    ends: Counter[int] = Counter()
    after: Counter[int] = Counter()
    heard: Counter[int] = Counter()  # after "an", less what came after "a"
    led: Counter[int] = Counter()  # to the name of a thing
    things = {index for index, word in enumerate(itos) if word in read_things().means}
    a, an = (itos.index(word) if word in itos else PAD for word in ("a", "an"))
    articles = {index for index, word in enumerate(itos) if word in read_things().articles}
    for caption in captions:
        counts = Counter(caption)
        held.update(counts.keys())
        twice.update(word for word, count in counts.items() if count > 1)
        apart = [*zip(caption, caption[2:], strict=False), *zip(caption, caption[3:], strict=False)]
        near.update({word for word, other in apart if word == other})
        pairs = list(zip(caption, caption[1:], strict=False))
        after.update(word for before, word in pairs if before in articles)
        heard.update(word for before, word in pairs if before == an)
        heard.subtract(word for before, word in pairs if before == a)
        led.update(before for before, word in pairs if word in things)
        if len(caption) > 1 and caption[-1] == EOS:
            ends[caption[-2]] += 1
    said = {
        word: index
        for index, word in enumerate(itos)
        if index >= len(SPECIALS) and any(letter.isalpha() for letter in word)
    }
    once = {word: i for word, i in said.items() if twice[i] <= REPEATED * held[i]}
    other = _other_numbers(once.keys())
    again = torch.full((len(itos), 2), PAD)
    for word, index in once.items():
        again[index] = torch.tensor([index, once[other.get(word, word)]])
    soon, unclosed, heads = (torch.zeros(len(itos)) for _ in range(3))
    for word, index in said.items():
        noun = held[index] >= SEEN and after[index] >= NOUN * held[index]
        heads[index] = word in read_things().means or (noun and not word.endswith(("ed", "ing")))
        if held[index] >= SEEN:
            soon[index] = near[index] <= SOON * held[index]
            unclosed[index] = ends[index] <= LAST * held[index]
    people = torch.tensor([float(word in PEOPLE) for word in itos])
    leads = torch.tensor([float(led[i] > LEADING * held[i]) for i in range(len(itos))])
    named = read_things().by_word
    vowels = torch.tensor(
        [
            float(heard[i] > 0 or (w in named and named[w].article == "an"))
            for i, w in enumerate(itos)
        ]
    )
    ids = torch.tensor([a, an] if PAD not in (a, an) else [PAD, PAD])
    return Habits(again, soon, unclosed, heads, people, leads, vowels, ids)


def _other_numbers(words: Collection[str]) -> dict[str, str]:
    """The plural of a singular and the singular of a plural, where both are among ``words``."""
    plurals = {word: plural_of(word) for word in words if len(word) > 2}
    plurals |= {word: thing.plural for word, thing in read_things().by_word.items()}
    pairs = [(word, plurals[word]) for word in words if plurals.get(word) in words]
    return {plural: word for word, plural in pairs} | dict(pairs)
