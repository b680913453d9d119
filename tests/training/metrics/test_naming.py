"""Whether captions name what is in a picture, on sentences whose answer is plain."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from training.metrics.naming import (
    ObjectsError,
    auroc,
    names_one,
    naming_report,
    read_objects,
)


@pytest.mark.parametrize(
    ("caption", "nouns", "named"),
    [
        ("a cat on a chair", ["cat", "feline"], True),
        ("Two Cats on a chair.", ["cat"], True),
        ("a caterpillar on a chair", ["cat"], False),
        ("some cherries in a bowl", ["cherry"], True),
        ("foxes in the snow", ["fox"], True),
        ("a red fire engine", ["fire engine"], True),
        ("an engine on fire", ["fire engine"], False),
        ("", ["cat"], False),
    ],
)
def test_a_noun_counts_as_whole_words_in_either_number(
    caption: str, nouns: list[str], named: bool
) -> None:
    assert names_one(caption, nouns) is named


def test_the_report_counts_apart_from_dogs_and_says_where_doubt_falls() -> None:
    objects = {Path(n): nouns for n, nouns in OBJECTS.items()}
    captions = {Path("1"): "a dog", Path("2"): "a man", Path("3"): "a cup", Path("4"): "a cup"}
    confidence = {Path("1"): 0.9, Path("2"): 0.1, Path("3"): 0.8, Path("4"): 0.85}
    report = naming_report(captions, confidence, objects, right=0.5)
    assert report == {
        "naming_rate": 0.5,
        "naming_rate_without_dogs": 0.3333,
        "auroc": 0.75,
        "flagged_unnamed": 0.5,
        "flagged_named": 0.0,
    }
    assert "flagged_named" not in naming_report(captions, confidence, objects, right=None)


def test_what_cannot_be_computed_is_none() -> None:
    report = naming_report({Path("1"): "a dog"}, {Path("1"): 0.9}, {Path("1"): ["dog"]}, right=0.5)
    assert report == {
        "naming_rate": 1.0,
        "naming_rate_without_dogs": None,
        "auroc": None,
        "flagged_unnamed": None,
        "flagged_named": 0.0,
    }


OBJECTS = {"1": ["dog", "puppy"], "2": ["cup"], "3": ["cup", "mug"], "4": ["hat"]}


def test_the_area_under_the_curve_counts_ties_half() -> None:
    values = torch.tensor([0.1, 0.5])
    assert auroc(values, values) == 0.5
    assert auroc(values + 1, values) == 1
    assert math.isnan(auroc(values, values[:0]))


def test_objects_are_read_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "nouns.json").write_text(json.dumps({"a.jpg": ["Cat"]}))
    assert read_objects(tmp_path) == {tmp_path / "Images" / "a.jpg": ["cat"]}


@pytest.mark.parametrize("content", [None, "{", "[1]", '{"a.jpg": 3}', "{}"])
def test_a_folder_without_nouns_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "nouns.json").write_text(content)
    with pytest.raises(ObjectsError, match=r"nouns\.json"):
        read_objects(tmp_path)
