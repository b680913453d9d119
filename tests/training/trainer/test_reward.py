"""Rewards of self-critical training: pycocoevalcap's CIDEr-D with <EOS> as a word, and BLEU-4."""

from __future__ import annotations

import random

import pytest
import torch
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from pycocoevalcap.cider.cider_scorer import CiderScorer

from handler.text import EOS, PAD
from training.trainer.reward import CiderD, Reward, SentenceBleu

PICTURES, WORDS = 12, 9


def sentence(generator: random.Random, longest: int = 9) -> list[int]:
    return [generator.randrange(4, 4 + WORDS) for _ in range(generator.randint(1, longest))]


def as_text(ids: list[int]) -> str:
    return " ".join(f"word{i}" for i in ids)


@pytest.fixture(scope="module")
def references() -> list[list[list[int]]]:
    generator = random.Random(0)
    count = [generator.randint(1, 5) for _ in range(PICTURES)]
    return [[[*sentence(generator), EOS] for _ in range(count[i])] for i in range(PICTURES)]


@pytest.fixture(scope="module")
def samples(references: list[list[list[int]]]) -> list[list[list[int]]]:
    """Four for each picture: a reference, two at random, one that is cut without <EOS>."""
    generator = random.Random(1)
    rows = []
    for captions in references:
        own = [captions[0], [*sentence(generator), EOS], [*sentence(generator, 14), EOS]]
        rows.append([*own, captions[-1][:-1] or [4]])
    return rows


def test_rewards_are_those_of_the_reference_implementation(
    references: list[list[list[int]]], samples: list[list[list[int]]]
) -> None:
    longest = max(len(row) for rows in samples for row in rows)
    padded = torch.tensor([[r + [PAD] * (longest - len(r)) for r in rows] for rows in samples])
    order = torch.randperm(PICTURES, generator=torch.Generator().manual_seed(0))
    rewards = Reward(references)(padded[order], order)
    assert rewards.shape == (PICTURES, 4)
    for n in range(4):
        scorer = CiderScorer(n=4, sigma=6.0)
        for rows, captions in zip(samples, references, strict=True):
            scorer += (as_text(rows[n]), [as_text(caption) for caption in captions])
        _, expected = scorer.compute_score()
        found = rewards[order.argsort(), n].tolist()
        assert found == pytest.approx(list(expected), abs=1e-5)
        assert max(expected) > 0.5


def test_what_follows_the_end_does_not_count(references: list[list[list[int]]]) -> None:
    reward = Reward(references)
    caption = references[3][0]
    rows = torch.tensor([[[*caption, PAD, 5, 6], [*caption, 7, 8, 9]]])
    first, second = reward(rows, torch.tensor([3]))[0].tolist()
    assert first == second == pytest.approx(CiderD(references).score(caption, 3), abs=1e-5)


def test_a_fragment_scores_less_than_the_whole() -> None:
    """The reason for which <EOS> counts as a word."""
    references = [[[4, 5, 6, 7, 8, EOS]], [[9, 10, 11, EOS]], [[4, 9, 12, EOS]]]
    reward = CiderD(references)
    whole = reward.score([4, 5, 6, 7, 8, EOS], 0)
    assert whole == pytest.approx(10)
    assert reward.score([4, 5, 6, 7, 8], 0) < whole - 1
    assert reward.score([9, 10, 11, EOS], 0) < 0.1


def test_a_sentence_without_words_scores_nothing(references: list[list[list[int]]]) -> None:
    assert CiderD(references).score([], 0) == 0
    assert SentenceBleu(references).score([], 0) == 0


def test_bleu_is_that_of_nltk(
    references: list[list[list[int]]], samples: list[list[list[int]]]
) -> None:
    bleu = SentenceBleu(references)
    seen = []
    for index, rows in enumerate(samples):
        for row in rows:
            words = [as_text([i]) for i in row]
            captions = [[as_text([i]) for i in caption] for caption in references[index]]
            smoothed = SmoothingFunction().method2  # that of Lin & Och
            expected = sentence_bleu(captions, words, smoothing_function=smoothed)
            found = bleu.score(row, index)
            if len(row) >= 4:  # nltk leaves out the orders that a short sentence has not
                assert found == pytest.approx(expected, abs=1e-6)
            seen.append(found)
    assert max(seen) == pytest.approx(1)
    assert min(seen) < 0.3


def test_bleu_has_its_weight_beside_cider(references: list[list[list[int]]]) -> None:
    caption = references[3][0]
    rows, indices = torch.tensor([[caption, [*caption[-2::-1], EOS]]]), torch.tensor([3])
    plain, mixed = Reward(references)(rows, indices), Reward(references, 2.0)(rows, indices)
    bleu = SentenceBleu(references)
    expected = [bleu.score(row, 3) for row in rows[0].tolist()]
    assert (mixed - plain)[0].tolist() == pytest.approx([2 * b for b in expected], abs=1e-5)
