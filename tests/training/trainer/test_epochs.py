"""Losses, scheduled sampling and sampled sentences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from handler.text import EOS, PAD, SOS, UNK
from tests.training.tiny import DECODER_NAMES, random_pictures, tiny_captioner
from training.model.captioner import Captioner
from training.trainer import epochs
from training.trainer.epochs import (
    _mix_own_words,
    cross_entropy,
    features_of,
    shift_right,
)
from training.trainer.optimisation import TrainingError
from training.trainer.self_critical import sample, sentence_log_probs


@pytest.fixture(params=DECODER_NAMES)
def captioner(request: pytest.FixtureRequest) -> Captioner:
    return tiny_captioner(request.param)


@pytest.fixture
def features(captioner: Captioner) -> Tensor:
    with torch.no_grad():
        return captioner.encoder(random_pictures(3))


CAPTIONS = torch.tensor(
    [
        [[5, 6, 7, EOS], [8, EOS, PAD, PAD]],
        [[9, 5, EOS, PAD], [PAD, PAD, PAD, PAD]],
        [[6, 6, 6, 6], [7, 8, 9, EOS]],  # the first was cut
    ]
)


@torch.no_grad()
def test_the_loss_is_the_mean_over_words_without_padding(
    captioner: Captioner, features: Tensor
) -> None:
    decoder, tags = captioner.decoder, captioner.see(features)
    logits = decoder.logits(decoder(features, tags, shift_right(CAPTIONS)))
    taken = -logits.log_softmax(-1).gather(-1, CAPTIONS.unsqueeze(-1)).squeeze(-1)
    expected = taken[CAPTIONS != PAD].mean()
    assert torch.allclose(cross_entropy(decoder, features, tags, CAPTIONS), expected, atol=1e-5)
    longer = nn.functional.pad(CAPTIONS, (0, 3), value=PAD)
    assert torch.allclose(cross_entropy(decoder, features, tags, longer), expected, atol=1e-5)
    smoothed = cross_entropy(decoder, features, tags, CAPTIONS, label_smoothing=0.1)
    flat = -logits.log_softmax(-1).mean(-1)[CAPTIONS != PAD].mean()
    assert torch.allclose(smoothed, 0.9 * expected + 0.1 * flat, atol=1e-5)


def test_the_word_before_is_the_input_and_no_words_are_lost_from_gradients(
    captioner: Captioner, features: Tensor
) -> None:
    cross_entropy(captioner.decoder, features, captioner.see(features), CAPTIONS).backward()
    rows = captioner.decoder.embedding.weight.grad
    assert rows is not None
    if captioner.decoder.__class__.__name__ == "LSTMDecoder":  # embeddings are inputs alone
        used = set(rows.abs().sum(1).nonzero().flatten().tolist())
        assert used == {SOS, 5, 6, 7, 8, 9}


@torch.no_grad()
def test_scheduled_sampling_replaces_a_share_of_the_words(
    captioner: Captioner, features: Tensor
) -> None:
    inputs = shift_right(torch.full((3, 200, 12), 7))
    inputs[:, :, 9:] = PAD
    torch.manual_seed(0)
    tags = captioner.see(features)
    mixed = _mix_own_words(captioner.decoder, features, tags, inputs, 0.25)
    assert (mixed[:, :, 0] == SOS).all()
    assert (mixed[:, :, 9:] == PAD).all()
    words = mixed[:, :, 1:9]
    stayed = float((words == 7).float().mean())
    everything = _mix_own_words(captioner.decoder, features, tags, inputs, 1.0)[:, :, 1:9]
    own_sevens = float((everything == 7).float().mean())
    assert own_sevens < 0.9
    assert stayed == pytest.approx(0.75 + 0.25 * own_sevens, abs=0.03)


@torch.no_grad()
def test_scheduled_sampling_puts_a_word_where_it_was_drawn(
    captioner: Captioner, features: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word drawn for place t is the input of place t + 1."""
    inputs = shift_right(torch.randint(4, 12, (3, 2, 6)))
    tags = captioner.see(features)
    logits = captioner.decoder.logits(captioner.decoder(features, tags, inputs))
    monkeypatch.setattr(epochs, "draw", lambda probabilities: probabilities.argmax(-1))
    mixed = _mix_own_words(captioner.decoder, features, tags, inputs, 1.0)
    assert torch.equal(mixed[:, :, 1:], logits.argmax(-1)[:, :, :-1])


def test_a_word_is_drawn_as_often_as_it_is_probable() -> None:
    torch.manual_seed(0)
    weights = torch.tensor([0.0, 3.0, 0.0, 1.0, 0.0])  # that need not sum to 1
    drawn = epochs.draw(weights.expand(40, 1000, 5))
    assert drawn.shape == (40, 1000)
    shares = drawn.flatten().bincount(minlength=5) / drawn.numel()
    assert torch.allclose(shares, torch.tensor([0.0, 0.75, 0.0, 0.25, 0.0]), atol=0.02)
    assert shares[[0, 2, 4]].sum() == 0


@pytest.mark.parametrize(("random", "word"), [(0.0, 1), (1.0, 3)])
def test_what_cannot_come_is_not_drawn_at_the_ends_of_chance(
    monkeypatch: pytest.MonkeyPatch, random: float, word: int
) -> None:
    monkeypatch.setattr(torch, "rand_like", lambda like: torch.full_like(like, random))
    assert epochs.draw(torch.tensor([[0.0, 3.0, 0.0, 1.0, 0.0]])).item() == word


@torch.no_grad()
def test_words_are_not_drawn_from_what_is_no_probability(captioner: Captioner) -> None:
    broken = torch.full((1, 4, captioner.encoder.channels), float("nan"))
    tags = captioner.see(torch.zeros_like(broken))
    with pytest.raises(TrainingError, match="The probability of a word became nan"):
        _mix_own_words(captioner.decoder, broken, tags, CAPTIONS[:1], 0.5)
    with pytest.raises(TrainingError, match="The probability of a word became nan"):
        sample(captioner, broken, tags, 2, 3)


@torch.no_grad()
def test_samples_are_whole_sentences(captioner: Captioner, features: Tensor) -> None:
    torch.manual_seed(0)
    drawn = sample(captioner, features, captioner.see(features), 40, 6)
    assert drawn.shape == (3, 40, 7)
    for row in drawn.flatten(0, 1).tolist():
        words = row[: row.index(EOS)]
        assert words
        assert min(words) > UNK
        assert set(row[len(words) + 1 :]) <= {PAD}


@torch.no_grad()
def test_samples_come_as_often_as_their_probability_says(
    captioner: Captioner, features: Tensor
) -> None:
    torch.manual_seed(0)
    drawn = sample(captioner, features, captioner.see(features), 4000, 6)[:, :, 0]
    memory, state = captioner.decoder.start(features, captioner.see(features), 1)
    logits, _, _ = captioner.decoder.step(torch.full((3, 1), SOS), memory, state)
    logits[..., [PAD, SOS, UNK, EOS]] = -torch.inf
    expected = logits.softmax(-1)[:, 0]
    found = torch.stack([(drawn == word).float().mean(1) for word in range(12)], 1)
    assert torch.allclose(found, expected, atol=0.04)


def test_sentence_scores_can_be_learnt_from(captioner: Captioner, features: Tensor) -> None:
    drawn = torch.cat([CAPTIONS, torch.full((3, 2, 2), PAD)], -1)
    tags = captioner.see(features)
    scores = sentence_log_probs(captioner, features, tags, drawn)
    logits = captioner.decoder.logits(captioner.decoder(features, tags, shift_right(drawn)))
    logits = logits + captioner.forbidden
    logits[:, :, 0, EOS] = -torch.inf  # no sentence is empty
    taken = logits.log_softmax(-1).gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(scores, taken.masked_fill(drawn == PAD, 0).sum(-1), atol=1e-5)
    scores.sum().backward()
    assert captioner.decoder.embedding.weight.grad is not None


def test_features_pass_and_pictures_are_encoded(captioner: Captioner, features: Tensor) -> None:
    assert torch.equal(features_of(captioner, features.half()), features.half().float())
    assert torch.equal(features_of(captioner, random_pictures(3)), features)
