"""How an answer is checked and cut for showing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import webui
from tests.webui.fake_torchserve import ANSWER
from webui.captions import shading
from webui.torchserve import answer


def caption(text: str, *words: str) -> answer.Caption:
    return {
        "caption": text,
        "log_probability": -1.0,
        "confidence": 0.5,
        "words": [{"word": word, "probability": 0.5} for word in words],
    }


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("a dog runs", ["a", "dog", "runs"], ["a", " ", "dog", " ", "runs"]),
        (
            "a dog's ball.",
            ["a", "dog", "'s", "ball", "."],
            ["a", " ", "dog", "'s", " ", "ball", "."],
        ),
        ("a a", ["a", "a"], ["a", " ", "a"]),
        ("the end!", ["the", "end"], ["the", " ", "end", "!"]),
        ("something else", ["a", "dog"], ["something else"]),
        ("dog a", ["a", "dog"], ["dog a"]),
        ("a dog", [""], ["a dog"]),
        ("", [], []),
    ],
)
def test_a_caption_is_cut_at_its_words(text: str, words: list[str], expected: list[str]) -> None:
    cut = shading.pieces(caption(text, *words))
    assert [piece.text for piece in cut] == expected
    assert "".join(piece.text for piece in cut) == text


@pytest.mark.parametrize(
    ("probability", "level", "text"),
    [
        (1, 0, "100%"),
        (0.8, 0, "80%"),
        (0.79, 1, "79%"),
        (0.5, 2, "50%"),
        (0.125, 4, "13%"),
        (0.2, 3, "20%"),
        (0.001, 4, "<1%"),
    ],
)
def test_probabilities_become_levels_and_percents(
    probability: float, level: int, text: str
) -> None:
    assert shading.doubt(probability) == level
    assert shading.percent(probability) == text


@pytest.mark.parametrize(
    "change",
    [
        {"caption": None},
        {"captions": []},
        {"captions": [{"caption": "a"}]},
        {"captions": [{**ANSWER["captions"][0], "words": [{"word": 1, "probability": 0.5}]}]},  # type: ignore[index]
        {"captions": [{**ANSWER["captions"][0], "confidence": None}]},  # type: ignore[index]
        {"captions": [{**ANSWER["captions"][0], "trust": "somewhat"}]},  # type: ignore[index]
        {"tags": [{"word": "dog"}]},
        {"image": {}},
        {"model": {"name": "captioner"}},
    ],
)
def test_an_answer_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        answer.parse(json.dumps({**ANSWER, **change}).encode())


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN is not JSON"):
        answer.parse(json.dumps(ANSWER).replace("0.61", "NaN").encode())


def test_a_picture_is_shown_back_only_where_a_browser_can() -> None:
    whole = answer.parse(json.dumps(ANSWER).encode())
    assert shading.data_url(b"abc", whole) == "data:image/jpeg;base64,YWJj"
    assert shading.data_url(bytes(shading.SHOWN_BACK_BYTES + 1), whole) is None
    whole["image"]["format"] = "TIFF"
    assert shading.data_url(b"abc", whole) is None


@pytest.mark.parametrize(
    ("confidence", "more", "mark"),
    [
        (0.39, {}, "check"),
        (0.4, {}, "right"),
        (0.1, {"trust": "right"}, "right"),
        (0.9, {"trust": "check"}, "check"),
        (0.9, {"trust": "unknown"}, "unknown"),
    ],
)
def test_a_caption_is_marked_by_its_trust_or_else_its_confidence(
    confidence: float, more: dict[str, Any], mark: str
) -> None:
    one: Any = {**caption("a dog", "a", "dog"), "confidence": confidence, **more}
    assert shading.mark(one) == shading.MARKS[mark]


def test_the_script_has_the_same_levels() -> None:
    script = (Path(webui.__file__).parent / "static/js/captions/words.js").read_text()
    assert f"LEVELS = {list(shading.LEVELS)};" in script
    assert f"UNSURE_BELOW = {shading.UNSURE_BELOW};" in script
    assert all(f'  {trust}: "{mark}",' in script for trust, mark in shading.MARKS.items())
