"""The vocabulary file, and tokens joined to sentences."""

import json
from pathlib import Path

import pytest
from nltk import word_tokenize

from handler.text import (
    EOS,
    PAD,
    SOS,
    SPECIALS,
    UNK,
    detokenise,
    different,
    neutral,
    read_vocabulary,
)


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "a dog runs through the grass.",
        "it isn't red, is it?",
        "the man's dogs' toys are here; they're his!",
        "i'm sure we've seen what she'll do, and he'd agree",
        'a sign says "stop" and "go" to us',
        "two children (a boy and a girl) play.",
        "a shirt with #5 costs $3: 50% off...",
        "she cannot see; they're gonna wanna play",
        "a t-shirt at 10:30",
        "a black - and - white dog",
        "'tis red",
        "a sign with 'over here' on it",
        "in the 1980s' light",
    ],
)
def test_joining_undoes_tokenising(sentence: str) -> None:
    assert detokenise(word_tokenize(sentence, preserve_line=True)) == sentence


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (['"', "hi", '"', "he", "said"], '"hi" he said'),
        (["'s", "red"], "'s red"),
        ([",", "red"], ", red"),
        (["do", "n't", "."], "don't."),
    ],
)
def test_words_in_any_order_are_joined(words: list[str], sentence: str) -> None:
    assert detokenise(words) == sentence


def test_vocabulary_is_read_by_id(tmp_path: Path) -> None:
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps({"dog": 4, **{token: i for i, token in enumerate(SPECIALS)}}))
    itos = read_vocabulary(path)
    assert itos == [*SPECIALS, "dog"]
    assert [itos[i] for i in (PAD, SOS, EOS, UNK)] == list(SPECIALS)


_SPECIAL_IDS = {token: i for i, token in enumerate(SPECIALS)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "vocab.json is not JSON"),
        ("[]", "must map every token to a whole number"),
        (json.dumps({"<PAD>": "0"}), "must map every token to a whole number"),
        (json.dumps({"<PAD>": False}), "must map every token to a whole number"),
        (json.dumps({**_SPECIAL_IDS, "dog": 5}), "each id from 0 to 4 once"),
        (json.dumps({**_SPECIAL_IDS, "dog": 3}), "each id from 0 to 4 once"),
        (json.dumps({"dog": 0, "cat": 1}), "must begin with <PAD>, <SOS>, <EOS>, <UNK>"),
    ],
)
def test_wrong_vocabulary_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "vocab.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_vocabulary(path)


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("a man rides a horse", "a person rides a horse"),
        ("a man and a woman are on a beach", "a person and another person are on a beach"),
        ("a boy and girl play", "a child and another child play"),
        ("men and women walk", "people walk"),
        ("two men and a woman", "two people and a person"),
        ("a female athlete runs", "an athlete runs"),
        ("he is happy and she has his hat", "they are happy and they have their hat"),
        ("an old man 's dog", "an old person 's dog"),
        ("a cat and a cat", "a cat and a cat"),
    ],
)
def test_a_guessed_gender_is_not_said(sentence: str, said: str) -> None:
    words = sentence.split()
    found = neutral(words)
    assert " ".join(word for _, word in found) == said
    places = [place for place, _ in found]
    assert places == sorted(set(places))  # each word that is left has its own probability


@pytest.mark.parametrize(
    ("contents", "chosen"),
    [
        (["brown dog runs", "black dog runs", "dog jumps fence", "white dog runs"], [0, 2, 1]),
        (["dog runs", "dog runs", "dog"], [0, 1, 2]),
        (["dog runs"], [0]),
    ],
)
def test_captions_that_say_other_things_are_taken_first(
    contents: list[str], chosen: list[int]
) -> None:
    sets = [frozenset(one.split()) for one in contents]
    assert different(sets, 3) == sorted(chosen)
    assert different(sets, 2) == sorted(chosen[:2])
