"""Adopted captioners find what ``transformers`` finds, token for token, without it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.training.adoption import golden, published
from training.adoption.model.search import PAD, AdoptedCaptioner

MANY = 10**6  # words: no limit


def sentences(
    captioner: Any, beams: int, count: int, pieces: int, penalty: float
) -> tuple[torch.Tensor, ...]:
    captioner.length_penalty = penalty
    with torch.inference_mode():
        found: tuple[torch.Tensor, ...] = captioner(
            published.pictures(count), beams, MANY, True, 0, pieces
        )
    return found


@pytest.mark.parametrize("name", published.NAMES)
def test_the_sentences_are_those_of_transformers(name: str) -> None:
    captioner, ended, distinct = golden.captioner(name), 0, set()
    for case, want in zip(golden.CASES, golden.read()[name]["cases"], strict=True):
        tokens, log_probs, attention, _ = sentences(captioner, *case)
        expected = torch.tensor(want["tokens"])
        length = expected.shape[2]
        said = tokens[:, :, :length] != PAD
        assert torch.equal(tokens[:, :, :length], torch.where(said, expected, PAD)), case
        assert bool((tokens[:, :, length:] == PAD).all())
        difference = (log_probs[:, :, :length] - torch.tensor(want["log_probs"])).abs()[said]
        assert float(difference.max()) < 1e-3
        looked = attention[:, :, :length].sum(-1)[said]
        assert torch.allclose(looked, torch.ones_like(looked), atol=1e-4)
        ended += int((tokens == captioner.end).any(-1).sum())
        distinct |= {tuple(row) for row in tokens[:, 0].tolist()}
    assert ended > 0
    assert len(distinct) > 1


@pytest.fixture(scope="module")
def blip() -> AdoptedCaptioner:
    return golden.captioner("blip")


def test_a_sentence_has_no_more_words_than_asked_for(blip: AdoptedCaptioner) -> None:
    blip.begins[4:] = True
    longest = []
    for most in (1, 3, 20):
        with torch.inference_mode():
            tokens, log_probs, _, _ = blip(published.pictures(3), 3, most, False)
        told = [row for row in tokens.flatten(0, 1) if bool((row != PAD).any())]
        longest.append(max(int(blip.begins[row[row != PAD]].sum()) for row in told))
        assert longest[-1] <= most
        assert float(log_probs.max()) <= 0
    assert longest[0] == 1 < longest[-1]
