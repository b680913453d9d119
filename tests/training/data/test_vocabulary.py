"""Words to ids and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handler.text import EOS, PAD, SOS, UNK, read_vocabulary
from training.data.vocabulary import Vocabulary

CAPTIONS = ["A dog runs", "a dog sits .", "a cat", "two cats"]


def test_special_tokens_come_first() -> None:
    vocabulary = Vocabulary()
    assert vocabulary.itos == ["<PAD>", "<SOS>", "<EOS>", "<UNK>"]
    assert vocabulary.stoi == {"<PAD>": 0, "<SOS>": 1, "<EOS>": 2, "<UNK>": 3}
    assert (PAD, SOS, EOS, UNK) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("threshold", "words"),
    [
        (1, ["a", "dog", ".", "cat", "cats", "runs", "sits", "two"]),
        (2, ["a", "dog"]),
        (3, ["a"]),
        (4, []),
    ],
)
def test_frequent_words_enter_the_most_frequent_first(threshold: int, words: list[str]) -> None:
    assert Vocabulary(threshold).build(CAPTIONS).itos[4:] == words


def test_the_order_of_counting_does_not_matter() -> None:
    assert Vocabulary(1).build(CAPTIONS).itos == Vocabulary(1).build(reversed(CAPTIONS)).itos


def test_a_threshold_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="freq_threshold must be at least 1, but is 0"):
        Vocabulary(0)


@pytest.mark.parametrize(
    "sentence",
    [
        "a dog runs through the grass",
        "a dog, a cat and a bird",
        "it isn't red; it's blue!",
        "they're the children's toys",
        "is it (really) a dog?",
        'a sign says "stop" in white',
        "two dogs' ball",
        "he cannot see 50% of it",
        "they'll say: we've seen it, i'm sure",
        "a t-shirt and a rock-climber",
    ],
)
def test_a_sentence_comes_back_from_its_ids(sentence: str) -> None:
    vocabulary = Vocabulary(1).build([sentence])
    ids = vocabulary.encode(sentence)
    assert ids[-1] == EOS
    assert UNK not in ids
    assert vocabulary.decode(ids) == sentence


def test_case_is_dropped() -> None:
    vocabulary = Vocabulary(1).build(["A Dog"])
    assert vocabulary.decode(vocabulary.encode("a DOG")) == "a dog"


def test_unknown_words() -> None:
    vocabulary = Vocabulary(2).build(CAPTIONS)
    assert vocabulary.encode("a purple dog") == [4, UNK, 5, EOS]
    assert vocabulary.decode([4, UNK, 5, EOS]) == "a <UNK> dog"


def test_decoding_stops_at_the_end_and_leaves_out_padding() -> None:
    vocabulary = Vocabulary(2).build(CAPTIONS)
    assert vocabulary.decode([SOS, 4, 5, EOS, 4, PAD]) == "a dog"
    assert vocabulary.decode([4, PAD, PAD]) == "a"


@pytest.mark.parametrize(("limit", "ids"), [(2, [4, 5]), (3, [4, 5, 4, EOS]), (9, [4, 5, 4, EOS])])
def test_a_caption_that_is_cut_has_no_end(limit: int, ids: list[int]) -> None:
    assert Vocabulary(2).build(CAPTIONS).encode("a dog a", limit) == ids


def test_the_file_is_the_plain_mapping_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "vocab.json"
    vocabulary = Vocabulary(1).build([*CAPTIONS, "a café 🐕"])
    vocabulary.save(path)
    assert json.loads(path.read_text(encoding="utf-8")) == vocabulary.stoi
    assert read_vocabulary(path) == vocabulary.itos


def test_a_known_phrase_is_one_word() -> None:
    vocabulary = Vocabulary(1)
    vocabulary.extend(["fire truck", "hot dog"])
    vocabulary.build(["a red fire truck and a hot dog", "fire, truck"])
    assert vocabulary.itos[4:6] == ["fire truck", "hot dog"]
    assert {"red", "fire", "truck"} <= vocabulary.stoi.keys()
    assert not {"hot", "dog"} & vocabulary.stoi.keys()
    assert vocabulary.encode("hot dog fire truck", 2) == [5, 4, EOS]
    assert vocabulary.decode(vocabulary.encode("a fire truck, red")) == "a fire truck, red"


def test_other_captions_may_have_a_threshold_of_their_own() -> None:
    vocabulary = Vocabulary(1).build(["a dog"]).build(CAPTIONS, 2)
    assert vocabulary.itos[4:] == ["a", "dog"]
