"""Captions for pictures that have none, borrowed from those that people wrote for others.

A captioner that was taught things by text has hardly ever seen them. So it chooses, for each
picture, among human captions that name what its tags say, those that suit the picture best; what
it learns from them, with the picture before it, is how such things look in a scene.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from handler.text import PAD, UNK
from training.common.progress import progress
from training.data.simulation import Simulator
from training.data.store import read_picture
from training.data.things import read_things
from training.model.captioner import Captioner
from training.model.tagger import Tags
from training.trainer.checkpoint import Checkpoint
from training.trainer.epochs import shift_right
from training.trainer.optimisation import autocast_for

SURE = 0.3  # probability from which the surest tag must be named
POSSIBLE = 0.1  # from which a tag may be named otherwise
CANDIDATES = 64
FEWEST = 8  # candidates that a choice needs
EACH, TIMES = 3, 6  # captions for a picture, and pictures for a caption, at most
PRIOR = 0.6  # weight of how likely a caption is of any picture, which is taken away
LENGTH = 0.7  # exponent of the length by which scores are divided
BATCH_SIZE = 8


class Written(NamedTuple):
    """A caption that somebody wrote for another picture."""

    text: str
    ids: list[int]


class Library:
    """Captions by the things that they name, those of unknown words left out."""

    def __init__(self, captions: Iterable[str], trained: Checkpoint, chance: Random) -> None:
        vocabulary, captioner = trained.vocabulary, trained.captioner
        told = Simulator(vocabulary, read_things(), captioner.rules.heads, captioner.tagger.count)
        self._chance = chance
        self.naming: defaultdict[int, list[Written]] = defaultdict(list)
        self.others: list[Written] = []
        for text in captions:
            ids = vocabulary.encode(text, trained.config.max_tokens)
            if UNK in ids:
                continue
            named = told.nouns(ids)
            for thing in named:
                self.naming[thing].append(Written(text, ids))
            if not named:
                self.others.append(Written(text, ids))

    def candidates(self, words: Sequence[int], probabilities: Sequence[float]) -> list[Written]:
        """Captions that may suit a picture with these tags: of the sure one, or of possible ones
        and of no thing at all."""
        if probabilities[0] >= SURE:
            return self._sample(self.naming[words[0]], CANDIDATES)
        possible = [w for w, p in zip(words, probabilities, strict=True) if p >= POSSIBLE]
        found = [one for word in possible[:2] for one in self._sample(self.naming[word], 16)]
        return [*found, *self._sample(self.others, CANDIDATES // 2)]

    def _sample(self, captions: list[Written], most: int) -> list[Written]:
        return self._chance.sample(captions, min(most, len(captions)))


def borrow(
    trained: Checkpoint, captions: Iterable[str], pictures: Sequence[Path], *, seed: int = 0
) -> Iterator[tuple[Path, list[str]]]:
    """Up to three captions for each picture that some suit, best first; others are left out.

    Raises:
        PictureError, OSError: a picture cannot be read.
    """
    chance = Random(seed)  # nosec B311 # drawn, not secret
    library, used = Library(captions, trained, chance), Counter[str]()
    priors: dict[str, float] = {}
    starts = range(0, len(pictures), BATCH_SIZE)
    for start in progress(starts, "borrow", len(starts)):
        for path, features, tags in _see(trained.captioner, pictures[start : start + BATCH_SIZE]):
            words, probabilities = tags.words[0].tolist(), tags.probabilities[0].tolist()
            found = [c for c in library.candidates(words, probabilities) if used[c.text] < TIMES]
            if len(found) < FEWEST:
                continue
            _add_priors(trained.captioner, found, priors)
            suits = _log_probs(trained.captioner, features, tags, found)
            scores = [
                (likely - PRIOR * priors[c.text]) / len(c.ids) ** LENGTH
                for likely, c in zip(suits.tolist(), found, strict=True)
            ]
            ranked = sorted(zip(scores, (c.text for c in found), strict=True), reverse=True)
            best = [text for _, text in ranked[:EACH]]
            used.update(best)
            yield path, best


@torch.inference_mode()
def _see(captioner: Captioner, paths: Sequence[Path]) -> Iterator[tuple[Path, Tensor, Tags]]:
    """The features ``[1, G, D]`` and tags of each picture."""
    pixels = torch.stack([read_picture(path, captioner.image_size) for path in paths])
    features = captioner.encoder(pixels)
    words, probabilities, elsewhere = captioner.see(features)
    for row, path in enumerate(paths):
        one = slice(row, row + 1)
        yield path, features[one], Tags(words[one], probabilities[one], elsewhere[one])


def _add_priors(captioner: Captioner, found: list[Written], priors: dict[str, float]) -> None:
    """How likely captions are without a picture or a tag."""
    new = [caption for caption in found if caption.text not in priors]
    if new:
        nothing = torch.zeros(1, 1, captioner.encoder.channels)
        none = torch.zeros(1, captioner.tagger.count)
        likely = _log_probs(captioner, nothing, Tags(none.long(), none, torch.ones(1)), new)
        priors.update(zip((caption.text for caption in new), likely.tolist(), strict=True))


@torch.inference_mode()
def _log_probs(
    captioner: Captioner, features: Tensor, tags: Tags, captions: Sequence[Written]
) -> Tensor:
    """Log-probabilities of captions ``[C]`` for one picture."""
    longest = max(len(caption.ids) for caption in captions)
    ids = [caption.ids + [PAD] * (longest - len(caption.ids)) for caption in captions]
    tokens = torch.tensor([ids])  # (1, C, T)
    kept, decoder = tokens != PAD, captioner.decoder
    with autocast_for("auto", features.device)():
        logits = decoder.logits(decoder(features, tags, shift_right(tokens))[kept]).float()
    missed = F.cross_entropy(logits, tokens[kept], reduction="none")
    return -torch.zeros(tokens.shape).masked_scatter(kept, missed)[0].sum(-1)
