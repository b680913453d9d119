"""Tags as a tagger might give them, made from what captions say, and captions of other things.

A decoder that is told tags learns from text alone: its tags come from the sentence's own nouns in
training, and from the picture in use (after Hendricks et al., CVPR 2016). In some of the captions
a thing becomes another one of its kind, so that it is the tags that decide which it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor

from handler.text import PAD
from training.data.things import Things
from training.data.vocabulary import Vocabulary

# Shares of the sentences and of the pictures in which a thing becomes another one, and of the
# pictures whose tags are simulated for the things that they show.
SWAPPED_SENTENCES, SWAPPED_PICTURES, SIMULATED = 0.35, 0.15, 0.15
UNSEEN = 0.08  # of simulated tags: none of the things is among them
CONFUSED = 0.5  # of the wrong tags: of the same kind as a right one

Caption = list[int]  # token ids


class Told(NamedTuple):
    """Tags to train on, the most probable first."""

    words: list[int]  # token ids
    probabilities: list[float]


class Simulator:
    """Makes tags and swaps things, in captions of token ids.

    Args:
        vocabulary: holds all words of ``things``.
        heads: ``[V]``, 1 for nouns: see ``training.data.habits``.
        count: tags of a picture.
    """

    def __init__(self, vocabulary: Vocabulary, things: Things, heads: Tensor, count: int) -> None:
        code, named = vocabulary.stoi, things.by_word.values()
        means = {w: plain for w, plain in things.means.items() if w in code}
        self._count = count
        self._heads = set(heads.nonzero().flatten().tolist())
        self._means = {code[word]: code[plain] for word, plain in means.items()}
        self._plurals = {code[word] for word in means.keys() & things.plurals}
        self._plural = {code[thing.word]: code[thing.plural] for thing in named}
        self._article = {
            code[thing.word]: [code[thing.article]] if thing.article else [] for thing in named
        }
        self._articles = {word for words in self._article.values() for word in words}
        self._kind = {code[thing.word]: thing.kind for thing in named}
        self._of_kind: dict[str, list[int]] = {}
        for word, kind in self._kind.items():
            self._of_kind.setdefault(kind, []).append(word)
        self._things = list(self._kind)

    def sentence(self, caption: Caption) -> tuple[Caption, Told]:
        """A caption without a picture, now and then of another thing, and tags for it."""
        chance = _chance()
        nouns = self.nouns(caption)
        if nouns and chance.random() < SWAPPED_SENTENCES:
            noun = chance.choice(nouns)
            caption = self.swap(caption, noun, self._another(noun, chance))
            nouns = self.nouns(caption)
        return caption, self.tags(nouns, chance)

    def picture(self, captions: Sequence[Caption]) -> tuple[list[Caption], Told | None]:
        """The captions of a picture, now and then of another thing than it shows, with tags to
        match; None: those of the tagger."""
        chance = _chance()
        draw = chance.random()
        if draw >= SWAPPED_PICTURES + SIMULATED:
            return list(captions), None
        said = Counter(noun for caption in captions for noun in self.nouns(caption))
        shown = [noun for noun, times in said.items() if times >= min(2, len(captions))]
        if not shown or draw >= SWAPPED_PICTURES:
            return list(captions), self.tags(shown, chance)
        noun = chance.choice(shown)
        other = self._another(noun, chance)
        beside = [one for one in shown if one != noun and chance.random() < 0.3]
        words, probabilities = self.tags([other, *beside], chance)
        if other not in words:
            words[0], probabilities[0] = other, chance.uniform(0.5, 1)
        return [self.swap(caption, noun, other) for caption in captions], Told(words, probabilities)

    def nouns(self, caption: Sequence[int]) -> list[int]:
        """The plain words for the things that a caption names, each once.

        Before another noun, a word names nothing: a coffee table is no coffee.
        """
        followed = zip(caption, [*caption[1:], PAD], strict=True)
        named = [word for word, following in followed if following not in self._heads]
        return list(dict.fromkeys(self._means[word] for word in named if word in self._means))

    def tags(self, present: Sequence[int], chance: Random) -> Told:
        """Tags of a picture that shows the things ``present``: some of them, and wrong ones."""
        most = chance.choice([1, 1, 2, 2, 3]) if chance.random() >= UNSEEN else 0
        right = chance.sample(present, min(most, len(present)))
        # The right ones share most of the probability, unevenly; the wrong ones what is left.
        sure = chance.betavariate(4, 1.2) if right else 1 - 0.5 * chance.random()
        weights = [chance.gammavariate(0.8, 1) for _ in right]
        total = sum(weights) or 1.0
        found = {word: sure * w / total for word, w in zip(right, weights, strict=True)}
        left = 1 - sure
        while len(found) < self._count:
            if right and chance.random() < CONFUSED:
                word = self._another(chance.choice(right), chance)
            else:
                word = chance.choice(self._things)
            if word not in found:
                found[word] = left * chance.random() ** 2
                left -= found[word]
        ranked = sorted(found.items(), key=lambda pair: -pair[1])[: self._count]
        return Told([word for word, _ in ranked], [share for _, share in ranked])

    def swap(self, caption: Sequence[int], noun: int, other: int) -> Caption:
        """``caption`` with the thing ``other`` in place of ``noun``: its number and its article."""
        said: Caption = []
        for word in caption:
            if self._means.get(word) != noun:
                said.append(word)
            elif word in self._plurals:
                said.append(self._plural[other])
            else:
                if said and said[-1] in self._articles:
                    said[-1:] = self._article[other]
                said.append(other)
        return said

    def _another(self, word: int, chance: Random) -> int:
        """A thing of the same kind; of a kind that has but one, the same."""
        return chance.choice(self._of_kind[self._kind[word]])


def _chance() -> Random:
    """Chance that PyTorch's seed decides."""
    return Random(int(torch.randint(2**53, ())))  # nosec B311 # drawn, not secret
