"""Faults of captions, counted by their form."""

from __future__ import annotations

import pytest

from training.metrics.faults import count_faults

GOOD = [
    "a brown dog runs through the grass",
    "two men look on",
    "a car drives by",
    "a girl with her arms up and a dog behind her",
    "a man is standing on top of a mountain",
    "a dog in the grass and a dog on the sand",  # words may come again
    "two dogs side by side , hand in hand",
    "a train on a train track",
    "a dog on a bed and on it",
    "a garbage can",
    "",
]


NONE = {"unknown": 0, "dangling": 0, "repeated": 0, "said_twice": 0, "cut": 0}


@pytest.mark.parametrize("caption", GOOD)
def test_a_good_caption_has_no_fault(caption: str) -> None:
    assert count_faults([caption], 12) == NONE


@pytest.mark.parametrize(
    ("caption", "fault"),
    [
        ("a dog with a <UNK>", "unknown"),
        *[
            (f"a dog runs {word}", "dangling")
            for word in ("a", "the", "with", "of", "in", "through", "and", "while", "his", "is")
        ],
        ("a dog 's", "dangling"),
        ("a dog dog runs", "repeated"),
        ("a man in a red shirt in a red hat", "repeated"),
        ("a brown and brown dog", "said_twice"),
        ("a dog , dog", "said_twice"),
        ("a motorcycle on a motorcycle", "said_twice"),
        ("a man and a man riding horses", "said_twice"),
        ("a dog with the dog", "said_twice"),
        ("one two three four five six seven eight nine ten eleven twelve", "cut"),
    ],
)
def test_a_fault_is_found(caption: str, fault: str) -> None:
    counts = count_faults(["a dog runs", caption, "a dog sits"], 12)
    assert counts.pop(fault) == 1
    assert set(counts.values()) == {0}


def test_an_unknown_word_is_one_word() -> None:
    captions = ["a <UNK> dog", "a <UNK> <UNK>"]
    assert count_faults(captions, 4) == {**NONE, "unknown": 2, "repeated": 1}


def test_a_caption_may_have_several_faults() -> None:
    counts = count_faults(["a a <UNK> with"], 4)
    assert counts == {**NONE, "unknown": 1, "dangling": 1, "repeated": 1, "cut": 1}
