"""Tags made from captions, and things that become others."""

from __future__ import annotations

from random import Random

import pytest
import torch

from training.data.simulation import SWAPPED_PICTURES, Simulator
from training.data.things import read_things
from training.data.vocabulary import Vocabulary

COUNT = 5


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    words = Vocabulary(1)
    words.extend(read_things().words)
    return words.build(["two puppies and a kitten run by", "a man in blue jeans on the grass"])


@pytest.fixture(scope="module")
def simulator(vocabulary: Vocabulary) -> Simulator:
    heads = torch.zeros(len(vocabulary))
    heads[[vocabulary.stoi["bus"], vocabulary.stoi["shirt"]]] = 1
    return Simulator(vocabulary, read_things(), heads, COUNT)


@pytest.mark.parametrize(
    ("caption", "noun", "other", "expected"),
    [
        ("a dog on the grass", "dog", "elephant", "an elephant on the grass"),
        ("an elephant and a dog", "elephant", "dog", "a dog and a dog"),
        ("two puppies in the grass", "dog", "fox", "two foxes in the grass"),
        ("a blue dog on a bus", "dog", "elephant", "a blue elephant on a bus"),
        ("a man in a shirt", "shirt", "jeans", "a man in jeans"),
        ("two fire trucks and a fire truck", "fire truck", "taxi", "two taxis and a taxi"),
        ("a bus by a man", "bus", "fire truck", "a fire truck by a man"),
        ("a kitten and cats", "cat", "sheep", "a sheep and sheep"),
    ],
)
def test_a_thing_becomes_another_with_its_article_and_number(
    vocabulary: Vocabulary,
    simulator: Simulator,
    caption: str,
    noun: str,
    other: str,
    expected: str,
) -> None:
    code = vocabulary.stoi
    found = simulator.swap(vocabulary.encode(caption), code[noun], code[other])
    assert vocabulary.decode(found) == expected
    assert found[-1] == vocabulary.encode("")[-1]


def test_nouns_are_plain_words(vocabulary: Vocabulary, simulator: Simulator) -> None:
    nouns = simulator.nouns(vocabulary.encode("a kitten, two puppies and a dog on a fire truck"))
    assert [vocabulary.itos[noun] for noun in nouns] == ["cat", "dog", "fire truck"]
    nouns = simulator.nouns(vocabulary.encode("a dog bus and a shirt"))  # no dog is there
    assert [vocabulary.itos[noun] for noun in nouns] == ["bus", "shirt"]


def test_tags_are_like_those_of_a_picture(vocabulary: Vocabulary, simulator: Simulator) -> None:
    dog, cat = vocabulary.stoi["dog"], vocabulary.stoi["cat"]
    chance, right, first = Random(0), 0, 0
    for _ in range(400):
        words, probabilities = simulator.tags([dog, cat], chance)
        assert len(set(words)) == len(words) == COUNT
        assert probabilities == sorted(probabilities, reverse=True)
        assert min(probabilities) >= 0
        assert sum(probabilities) <= 1 + 1e-6
        right += bool({dog, cat} & set(words))
        first += words[0] in (dog, cat)
    assert 340 < right < 390  # nearly always
    assert 300 < first < right


def test_sentences_and_their_tags_agree(vocabulary: Vocabulary, simulator: Simulator) -> None:
    torch.manual_seed(0)
    caption = vocabulary.encode("a dog on the grass")
    dog, named, others = vocabulary.stoi["dog"], 0, set()
    for _ in range(200):
        said, told = simulator.sentence(caption)
        (noun,) = simulator.nouns(said)
        named += noun in told.words
        others.add(noun)
    assert named > 170
    assert dog in others
    assert len(others) > 10


def test_pictures_keep_their_tags_unless_things_are_swapped(
    vocabulary: Vocabulary, simulator: Simulator
) -> None:
    torch.manual_seed(0)
    captions = [vocabulary.encode("a dog on a bus"), vocabulary.encode("a dog by a man")]
    dog, swapped, kept = vocabulary.stoi["dog"], 0, 0
    for _ in range(400):
        said, told = simulator.picture(captions)
        kept += told is None
        if said != captions:  # the one thing that both name
            assert told is not None
            (other,) = set(simulator.nouns(said[1])) - {vocabulary.stoi["man"]}
            assert other in told.words
            assert other != dog
            assert vocabulary.decode(said[0]).endswith(" on a bus")
            swapped += 1
    assert 0.6 < kept / 400 < 0.8
    assert 0.5 * SWAPPED_PICTURES < swapped / 400 < 1.5 * SWAPPED_PICTURES


def test_pytorch_s_seed_decides(vocabulary: Vocabulary, simulator: Simulator) -> None:
    caption = vocabulary.encode("a dog on the grass")

    def drawn(seed: int) -> list[object]:
        torch.manual_seed(seed)
        return [simulator.sentence(caption) for _ in range(5)]

    assert drawn(1) == drawn(1) != drawn(2)
