"""Confidence inside the captioner: before and after it is fitted, and for pictures gone wild."""

from __future__ import annotations

import math
import operator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from handler.text import EOS, PAD
from tests.training.tiny import random_pictures, tiny_captioner
from training.model.confidence import Calibration
from training.model.tagger import Tags
from training.packaging.exporting import export, load_exported

WORDS, CHANNELS = 9, 5
# A picture, and two sentences of it: words 6, 7 and 8 are content words.
TOKENS = torch.tensor([[[4, 6, 5, 7, EOS], [4, 8, EOS, PAD, PAD]]])
LOG_PROBS = torch.tensor([[[0.9, 0.5, 0.8, 0.3, 0.7], [0.9, 0.2, 0.6, 1.0, 1.0]]]).log()
# Two things: word 6 stands for one of them, and no word that is said for the other.
TAGS = Tags(torch.tensor([[6, 5]]), torch.tensor([[0.5, 0.25]]), torch.ones(1))
MEANS = torch.tensor([PAD, PAD, PAD, PAD, PAD, PAD, 6, PAD, PAD])
FEATURES = torch.linspace(-1, 1, 4 * CHANNELS).view(1, 4, CHANNELS)


@pytest.fixture
def fitted() -> Calibration:
    return fit(Calibration(WORDS, CHANNELS))


def fit(calibration: Calibration) -> Calibration:
    """Values that are exact in half precision."""
    calibration.fitted.fill_(1)
    calibration.content[6:] = 1
    calibration.words.copy_(torch.tensor([-2.0, 4.0, 2.0, 1.0, -3.0]))
    calibration.photo.copy_(torch.arange(len(calibration.photo)) / 4)
    calibration.photo_bias.fill_(1.5)
    return calibration


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_before_it_is_fitted_it_is_the_geometric_mean() -> None:
    confidence = Calibration(WORDS, CHANNELS)(FEATURES, TAGS, MEANS, TOKENS, LOG_PROBS)
    expected = [[(0.9 * 0.5 * 0.8 * 0.3 * 0.7) ** (1 / 5), (0.9 * 0.2 * 0.6) ** (1 / 3)]]
    assert torch.allclose(confidence, torch.tensor(expected))


def test_fitted_it_is_a_product_of_two_logistic_functions(fitted: Calibration) -> None:
    confidence = fitted(FEATURES, TAGS, MEANS, TOKENS, LOG_PROBS)
    score = sum(float(FEATURES[0, :, d].mean()) * d / 4 for d in range(CHANNELS)) + 1.5
    # The mean probability, the least, the tag that is named and the one that is not.
    signs = ((0.4, 0.3, 0.5, 0.25), (0.2, 0.2, 0.0, 0.5))
    found = fitted.signs(TAGS, MEANS, TOKENS, LOG_PROBS)
    assert torch.allclose(found, torch.tensor([signs]))
    slopes = (4, 2, 1, -3)
    expected = [[sigmoid(-2 + sum(map(operator.mul, slopes, s))) * sigmoid(score) for s in signs]]
    assert torch.allclose(confidence, torch.tensor(expected))


def test_it_does_without_tags(fitted: Calibration) -> None:
    signs = fitted.signs(
        TAGS._replace(words=TAGS.words[:, :0], probabilities=TAGS.probabilities[:, :0]),
        MEANS,
        TOKENS,
        LOG_PROBS,
    )
    assert not signs[..., 2:].any()
    assert torch.equal(signs[..., :2], fitted.signs(TAGS, MEANS, TOKENS, LOG_PROBS)[..., :2])


def test_weights_from_before_there_were_tags_say_what_they_said(fitted: Calibration) -> None:
    old = fitted.state_dict()
    old["words"] = old["words"][:2]
    loaded = Calibration(WORDS, CHANNELS)
    loaded.load_state_dict(old)
    assert loaded.words.tolist() == [-2, 4, 0, 0, 0]
    assert len(old["words"]) == 2  # what was given is left as it was
    confidence = loaded(FEATURES, TAGS, MEANS, TOKENS, LOG_PROBS)
    photo = loaded.photo_score(FEATURES).sigmoid()
    confirmed = torch.tensor([[sigmoid(-2 + 4 * p) for p in (0.4, 0.2)]])
    assert torch.allclose(confidence, confirmed * photo)


@pytest.mark.parametrize("is_fitted", [True, False])
def test_surer_words_make_it_surer(fitted: Calibration, is_fitted: bool) -> None:
    fitted.fitted.fill_(is_fitted)
    before = fitted(FEATURES, TAGS, MEANS, TOKENS, LOG_PROBS)
    for place in (1, 3):
        surer = LOG_PROBS.clone()
        surer[0, 0, place] /= 2
        after = fitted(FEATURES, TAGS, MEANS, TOKENS, surer)
        assert after[0, 0] > before[0, 0]
        assert after[0, 1] == before[0, 1]


def test_a_sentence_without_content_words(fitted: Calibration) -> None:
    tokens = torch.tensor([[[4, 5, EOS]]])
    confidence = fitted(FEATURES, TAGS, MEANS, tokens, torch.full((1, 1, 3), -0.1))
    assert float(confidence) <= sigmoid(-2)


@pytest.mark.parametrize("value", [0.0, 1e-40, -70_000.0, 1e30, -3e38, math.inf])
@pytest.mark.parametrize("is_fitted", [True, False])
@pytest.mark.parametrize("log_prob", [0.0, -1e4, -math.inf])
def test_it_is_a_number_whatever_comes(
    fitted: Calibration, value: float, is_fitted: bool, log_prob: float
) -> None:
    fitted.fitted.fill_(is_fitted)
    fitted.photo[0] = -1
    features = torch.full((2, 4, CHANNELS), value)
    tags = Tags(*(tensor.expand(2, *tensor.shape[1:]) for tensor in TAGS))
    features[0, ::2] *= -1
    log_probs = torch.full((2, 2, 5), log_prob)
    log_probs[1] = LOG_PROBS[0]
    confidence = fitted(features, tags, MEANS, TOKENS.expand(2, -1, -1), log_probs)
    assert confidence.shape == (2, 2)
    assert ((confidence >= 0) & (confidence <= 1)).all()


def test_it_computes_in_single_precision(fitted: Calibration) -> None:
    expected = fitted(FEATURES.half().float(), TAGS, MEANS, TOKENS, LOG_PROBS)
    found = fitted.half()(FEATURES.half(), TAGS, MEANS, TOKENS, LOG_PROBS)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_weights_from_before_load_and_are_not_fitted() -> None:
    captioner = tiny_captioner("attention")
    fit(captioner.calibration)
    old = {k: v for k, v in captioner.state_dict().items() if not k.startswith("calibration.")}
    captioner.load_state_dict(old)
    assert not any(value.any() for value in captioner.calibration.state_dict().values())
    with pytest.raises(RuntimeError, match="forbidden"):
        captioner.load_state_dict({k: v for k, v in old.items() if k != "forbidden"})


@torch.no_grad()
@pytest.mark.parametrize("decoder", ["lstm", "attention"])
def test_a_captioner_has_it_in_every_form(decoder: str, tmp_path: Path) -> None:
    captioner = tiny_captioner(decoder)
    pictures = random_pictures(5)

    def check(*modules: torch.nn.Module) -> Tensor:
        expected = captioner(pictures, 3, 6, False)[3]
        assert expected.shape == (5, 3)
        for module in modules:
            assert torch.allclose(module(pictures, 3, 6, False)[3], expected, atol=1e-5)
        return expected

    exported = export(captioner, tmp_path / "plain.pt", onnx=False)
    plain = check(torch.jit.script(captioner), exported, torch.jit.freeze(exported))
    features = captioner.encoder(pictures)
    tokens, log_probs, _ = captioner.generate(features, captioner.see(features), 3, 6, False)
    means = log_probs.sum(-1) / (tokens != PAD).sum(-1)
    assert torch.allclose(plain, means.exp())

    fit(captioner.calibration)
    captioner.calibration.photo /= 100  # of so random an encoder the features are large
    exported = export(captioner, tmp_path / "fitted.pt", onnx=False)
    frozen = torch.jit.freeze(load_exported(tmp_path / "fitted.pt"))
    fitted = check(exported, frozen)
    assert not torch.allclose(fitted, plain, atol=0.01)
    assert len(fitted.unique()) > 5
