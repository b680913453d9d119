"""Beam search, against brute force and in every form that the module takes."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from handler.text import EOS, PAD, SOS, UNK
from tests.training.tiny import DECODER_NAMES, random_pictures, tiny_captioner
from training.model.captioner import Captioner
from training.trainer.checkpoint import build_captioner
from training.trainer.config import PRESETS, TrainConfig
from training.trainer.epochs import cross_entropy, features_of, shift_right

pytestmark = pytest.mark.parametrize("name", DECODER_NAMES)


def sentence_scores(captioner: Captioner, features: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities [B, K, T] of whole sentences by teacher forcing, by the rules of
    generation: no special word, no empty sentence, padding for nothing."""
    logits = captioner.decoder.logits(
        captioner.decoder(features, captioner.see(features), shift_right(tokens))
    )
    logits[..., [PAD, SOS, UNK]] = -torch.inf
    logits[:, :, 0, EOS] = -torch.inf
    chosen = logits.log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return chosen.masked_fill(tokens == PAD, 0)


def repeats(sentence: Sequence[int]) -> bool:
    """Whether a word comes twice in a row, or the same three words twice."""
    triples = list(zip(sentence, sentence[1:], sentence[2:], strict=False))
    return len(set(triples)) < len(triples) or any(map(operator.eq, sentence, sentence[1:]))


def all_sentences(words: int, max_length: int) -> Tensor:
    """Every sentence of 1 to ``max_length`` of the ``words`` words that may be said, closed and
    padded."""
    rows = []
    for length in range(1, max_length + 1):
        for sentence in itertools.product(range(4, 4 + words), repeat=length):
            if not repeats(sentence):
                rows.append([*sentence, EOS] + [PAD] * (max_length - length))
    return torch.tensor(rows)


@torch.no_grad()
@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
def test_a_wide_beam_finds_what_brute_force_finds(name: str, penalty: float) -> None:
    captioner = tiny_captioner(name, vocab_size=7, length_penalty=penalty)
    features = captioner.encoder(random_pictures(2))
    sentences = all_sentences(words=3, max_length=5)
    every = sentences.expand(2, -1, -1)
    scores = sentence_scores(captioner, features, every).sum(-1)  # (2, N)
    ranked = scores / (every != PAD).sum(-1) ** penalty
    order = ranked.argsort(1, descending=True)
    tokens, log_probs, _ = captioner.generate(
        features, captioner.see(features), len(sentences), 5, False
    )
    assert tokens.tolist() == [sentences[row].tolist() for row in order]
    assert torch.allclose(log_probs.sum(-1), scores.gather(1, order), atol=1e-5)


@torch.no_grad()
def test_a_beam_of_one_is_greedy(name: str) -> None:
    captioner = tiny_captioner(name)
    features = captioner.encoder(random_pictures(6))
    tokens, log_probs, _ = captioner.generate(features, captioner.see(features), 1, 8, False)
    for b in range(6):
        one = features[b : b + 1]
        memory, state = captioner.decoder.start(one, captioner.see(one), 1)
        word = torch.tensor([[SOS]])
        expected: list[int] = []
        for t in range(9):
            logits, state, _ = captioner.decoder.step(word, memory, state)
            logits[..., [PAD, SOS, UNK]] = -torch.inf
            if t == 0:
                logits[..., EOS] = -torch.inf
            best = logits.flatten().argsort(descending=True).tolist() if t < 8 else [EOS]
            expected.append(next(i for i in best if not repeats([*expected, i])))
            word = torch.tensor([expected[-1:]])
            if expected[-1] == EOS:
                break
        assert [i for i in tokens[b, 0].tolist() if i != PAD] == expected
    assert torch.allclose(log_probs, sentence_scores(captioner, features, tokens), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("beam", [1, 2, 3, 8])
@pytest.mark.parametrize("max_length", [1, 2, 7])
def test_sentences_are_whole_and_in_order(name: str, beam: int, max_length: int) -> None:
    penalty = 0.7
    captioner = tiny_captioner(name, vocab_size=14, length_penalty=penalty)
    pictures = random_pictures(5)
    tokens, log_probs, attention, confidence, *_ = captioner(pictures, beam, max_length, True)
    assert tokens.shape == log_probs.shape == (5, beam, max_length + 1)
    assert attention.shape == (5, beam, max_length + 1, 4)
    assert confidence.shape == (5, beam)
    for row in tokens.flatten(0, 1).tolist():
        words = row[: row.index(EOS)]
        assert words
        assert min(words) > UNK
        assert set(row[len(words) + 1 :]) <= {PAD}
    assert len({tuple(row) for row in tokens[0].tolist()}) == beam
    assert torch.isfinite(log_probs).all()
    assert (log_probs <= 0).all()
    features = captioner.encoder(pictures)
    assert torch.allclose(log_probs, sentence_scores(captioner, features, tokens), atol=1e-5)
    ranked = log_probs.sum(-1) / (tokens != PAD).sum(-1) ** penalty
    assert (ranked.diff(dim=1) <= 1e-6).all()
    assert torch.allclose(attention.sum(-1), (tokens != PAD).float(), atol=1e-5)


@torch.no_grad()
def test_attention_is_left_out_unless_asked_for(name: str) -> None:
    captioner = tiny_captioner(name)
    pictures = random_pictures(2)
    with_grid, without = captioner(pictures, 3, 6, True), captioner(pictures, 3, 6, False)
    assert without[2].shape == (2, 3, 0, 4)
    assert torch.equal(with_grid[0], without[0])
    assert torch.equal(with_grid[1], without[1])


@torch.no_grad()
@pytest.mark.parametrize("wanted", [1, 2, 4])
def test_sentences_that_nobody_wants_change_nothing(name: str, wanted: int) -> None:
    captioner = tiny_captioner(name)
    pictures = random_pictures(20)
    every = captioner(pictures, 4, 12, True)
    first = captioner(pictures, 4, 12, True, wanted)
    for found, expected in zip(first[:4], every[:4], strict=True):
        assert torch.equal(found, expected[:, :wanted])
    assert all(map(torch.equal, first[4:], every[4:]))  # tags are the picture's


@torch.no_grad()
def test_the_search_ends_when_nothing_can_overtake(name: str) -> None:
    captioner = tiny_captioner(name, length_penalty=0.0)
    steps = torch.arange(13)
    scores = torch.tensor([0.0, -torch.inf, -torch.inf])
    taken = {1: 0, 3: 0}
    for picture in random_pictures(20):
        features = captioner.encoder(picture.unsqueeze(0))
        for wanted in taken:
            tags = captioner.see(features)
            memory, beams = captioner.begin(features, tags, scores, steps, steps[:0])
            for t in steps:
                beams, settled = captioner.advance(t, memory, beams, torch.arange(3) < wanted)
                taken[wanted] += 1
                if bool(settled):
                    break
    assert taken[1] < taken[3] < 20 * len(steps)


@torch.no_grad()
def test_attention_is_that_of_the_words(name: str) -> None:
    captioner = tiny_captioner(name)
    pictures = random_pictures(2)
    tokens, _, attention, *_ = captioner(pictures, 3, 6, True)
    features = captioner.encoder(pictures)
    memory, state = captioner.decoder.start(features, captioner.see(features), 3)
    inputs = shift_right(tokens)
    for t in range(7):
        _, state, looked = captioner.decoder.step(inputs[:, :, t], memory, state)
        kept = tokens[:, :, t] != PAD
        assert torch.allclose(attention[:, :, t][kept], looked[kept], atol=1e-5)


@torch.no_grad()
def test_pictures_of_a_batch_do_not_touch_each_other(name: str) -> None:
    captioner = tiny_captioner(name)
    pictures = random_pictures(6)
    together = captioner(pictures, 4, 8, True)
    assert len({str(rows.tolist()) for rows in together[0]}) > 1
    for number in range(6):
        alone = captioner(pictures[number : number + 1], 4, 8, True)
        assert torch.equal(alone[0][0], together[0][number])
        assert torch.allclose(alone[1][0], together[1][number], atol=1e-5)
        assert torch.allclose(alone[2][0], together[2][number], atol=1e-5)
        assert torch.allclose(alone[3][0], together[3][number], atol=1e-5)


def batchnorm_state(captioner: Captioner) -> dict[str, Tensor]:
    buffers = captioner.encoder.named_buffers()
    return {name: value.clone() for name, value in buffers if "running" in name or "num" in name}


@pytest.mark.parametrize("stages", [0, 1, 1000])
def test_the_encoder_stays_in_eval_mode(name: str, stages: int) -> None:
    captioner = tiny_captioner(name)
    captioner.encoder.release(stages)
    captioner.train()
    assert captioner.decoder.training
    assert not any(module.training for module in captioner.encoder.modules())
    before = batchnorm_state(captioner)
    weights = [p.detach().clone() for p in captioner.encoder.parameters()]
    optimizer = torch.optim.SGD([p for p in captioner.parameters() if p.requires_grad], 0.1)
    features = features_of(captioner, random_pictures(4))
    tags = captioner.see(features)
    cross_entropy(captioner.decoder, features, tags, torch.randint(4, 9, (4, 2, 5))).backward()
    optimizer.step()
    after = batchnorm_state(captioner)
    assert len(before) == 6
    assert all(torch.equal(before[key], after[key]) for key in before)
    moved = [
        not torch.equal(a, b) for a, b in zip(weights, captioner.encoder.parameters(), strict=True)
    ]
    assert any(moved) is (stages > 0)
    captioner.eval()
    assert not captioner.decoder.training


def test_a_real_encoder_s_statistics_do_not_move(name: str) -> None:
    preset = {**PRESETS["original"], "decoder": name, "encoder": "efficientnet_lite0"}
    config = TrainConfig(**{**preset, "image_size": 64})
    captioner = build_captioner(config, 20)
    captioner.encoder.release(0)
    captioner.train()
    before = batchnorm_state(captioner)
    features = features_of(captioner, random_pictures(2, 64))
    tags = captioner.see(features)
    cross_entropy(captioner.decoder, features, tags, torch.randint(4, 9, (2, 1, 5))).backward()
    after = batchnorm_state(captioner)
    assert len(before) > 100
    assert all(torch.equal(before[key], after[key]) for key in before)
