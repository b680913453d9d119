"""What people confirm of a caption, and how far a confidence is from it."""

from __future__ import annotations

import pytest

from training.metrics.agreement import (
    calibration_error,
    confirmed_share,
    confirmed_words,
    content_words,
    made_up,
)

SAID = ["Two dogs are running on the grass .", "A brown dog's ball"]


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("The dogs, and a cat!", ["dog", "cat"]),
        ("two men in t-shirts on grass", ["two", "men", "t-shirt", "grass"]),
        ("someone is next to it", []),
        ("", []),
    ],
)
def test_content_words(caption: str, words: list[str]) -> None:
    assert content_words(caption) == words


@pytest.mark.parametrize(
    ("caption", "share"),
    [
        ("a dog on the grass", 1),
        ("two dogs", 1),
        ("three dogs", 1 / 2),  # who counts wrongly is not confirmed
        ("a dog with a red ball by the sea", 2 / 4),
        ("a dog and a dog and a cat", 2 / 3),
        ("the dog runs", 1 / 2),  # "runs" and "running" are two words
        ("a cat", 0),
        ("it is on the", 0),
        ("", 0),
    ],
)
def test_confirmed_share(caption: str, share: float) -> None:
    assert confirmed_share(caption, SAID) == pytest.approx(share)


def test_confirmed_words_are_those_that_somebody_uses() -> None:
    assert confirmed_words("two cats and a Dog with balls", SAID) == ["two", "dog", "ball"]
    assert confirmed_words("it is on the", SAID) == []


@pytest.mark.parametrize(
    ("caption", "references", "made"),
    [
        ("a dog on the grass", SAID, False),
        ("a puppy", SAID, False),  # by another word for it
        ("a cat on the grass", SAID, True),
        ("a cat and a dog", SAID, True),
        ("it is red", SAID, False),  # no thing at all
        ("a boy and his dog", SAID, True),
        ("a boy and his dog", [*SAID, "a woman"], False),  # a person is a person
        ("a hot dog", SAID, True),
        ("a hot dog", ["Hot dogs in buns"], False),
        ("a dog", ["Hot dogs in buns"], True),
        ("a dog", [], True),
    ],
)
def test_made_up_is_a_thing_that_nobody_names(
    caption: str, references: list[str], made: bool
) -> None:
    assert made_up(caption, references) is made


def test_calibration_error_by_hand() -> None:
    # Two captions in one bin (0.40 to 0.47), whose mean is off by 0.1, and one off by 0.25.
    confidences, shares = [0.41, 0.45, 0.75], [0.2, 0.46, 1.0]
    assert calibration_error(confidences, shares) == pytest.approx((0.2 + 0.25) / 3)


def test_calibration_error_is_none_where_means_agree() -> None:
    assert calibration_error([0.5, 0.5, 0.0, 1.0], [0.25, 0.75, 0.0, 1.0]) == pytest.approx(0)
    assert calibration_error([0.0, 1.0], [1.0, 0.0]) == pytest.approx(1)
