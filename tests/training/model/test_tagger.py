"""Tags of pictures, from a classifier whose answers are known."""

from __future__ import annotations

import pytest
import torch

from handler.text import PAD
from training.model.tagger import CLASSES, Tagger

CAT, DOG, CUP, HAT = range(4, 8)
WORDS, CHANNELS = 9, 3


def tagger(count: int = 3) -> Tagger:
    """Classes 0 and 1 are cats, 2 is a dog, 3 a cup and all others are hats."""
    made = Tagger(WORDS, CHANNELS, count)
    made.plain[:] = HAT
    made.plain[:4] = torch.tensor([CAT, CAT, DOG, CUP])
    with torch.no_grad():
        made.classifier.weight.zero_()
        made.classifier.bias.fill_(-100)
        made.classifier.bias[:4] = torch.tensor([0.2, 0.2, 0.4, 0.2]).log()
    return made


def test_the_classes_of_a_word_are_summed() -> None:
    tags = tagger()(torch.zeros(2, 4, CHANNELS), torch.ones(2))
    assert tags.words[:, 0].tolist() == [DOG, DOG] or tags.words[:, 0].tolist() == [CAT, CAT]
    assert {
        int(w): float(p) for w, p in zip(tags.words[0], tags.probabilities[0], strict=True)
    } == {
        CAT: pytest.approx(0.4),
        DOG: pytest.approx(0.4),
        CUP: pytest.approx(0.2),
    }
    assert (tags.probabilities.diff(dim=1) <= 0).all()


def test_tags_follow_the_features_of_each_picture() -> None:
    seeing = tagger()
    with torch.no_grad():
        seeing.classifier.weight[2, 0] = 50.0
        seeing.classifier.weight[3, 1] = 50.0
    features = torch.zeros(2, 4, CHANNELS)
    features[0, :, 0] = features[1, :, 1] = 1.0
    tags = seeing(features, torch.ones(2))
    assert tags.words[:, 0].tolist() == [DOG, CUP]
    assert (tags.probabilities[:, 0] > 0.99).all()


def test_without_tags_there_are_none_and_no_weights() -> None:
    silent = Tagger(WORDS, CHANNELS, 0)
    tags = silent(torch.zeros(2, 4, CHANNELS), torch.ones(2))
    assert tags.words.shape == tags.probabilities.shape == (2, 0)
    assert silent.classifier.weight.numel() == 0
    silent.load_state_dict({})  # of an archive from before there were tags
    assert (silent.means == PAD).all()


def test_the_classifier_is_not_trained() -> None:
    made = tagger()
    assert made.classifier.weight.shape == (CLASSES, CHANNELS)
    assert not any(parameter.requires_grad for parameter in made.parameters())
