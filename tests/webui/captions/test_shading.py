"""How an answer is checked and cut for showing."""

from __future__ import annotations

import json
import re
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
        ("a dog runs", ["a", "dog", "runs"], ["A", " ", "dog", " ", "runs"]),
        (
            "a dog's ball.",
            ["a", "dog", "'s", "ball", "."],
            ["A", " ", "dog", "'s", " ", "ball", "."],
        ),
        ("a a", ["a", "a"], ["A", " ", "a"]),
        ("the end!", ["the", "end"], ["The", " ", "end", "!"]),
        ("something else", ["a", "dog"], ["Something else"]),
        ("dog a", ["a", "dog"], ["Dog a"]),
        ("a dog", [""], ["A dog"]),
        ("", [], []),
    ],
)
def test_a_caption_is_cut_at_its_words(text: str, words: list[str], expected: list[str]) -> None:
    cut = shading.pieces(caption(text, *words))
    assert [piece.text for piece in cut] == expected
    assert "".join(piece.text for piece in cut) == shading.sentence(text)


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100%"), (0.79, "79%"), (0.125, "13%"), (0.001, "<1%")],
)
def test_shares_become_percents(share: float, text: str) -> None:
    assert shading.percent(share) == text


@pytest.mark.parametrize(
    ("word", "probability", "tags", "expected"),
    [
        ("dog", 0.19, [], True),
        ("dog", 0.2, [], False),
        ("a", 0.01, [], False),
        ("dog", 0.01, [("dog", 0.5)], False),
        ("dog", 0.01, [("dog", 0.49), ("cat", 0.9)], True),
    ],
)
def test_only_words_that_name_something_are_in_doubt(
    word: str, probability: float, tags: list[tuple[str, float]], *, expected: bool
) -> None:
    given: Any = {"tags": [{"word": name, "probability": sure} for name, sure in tags]}
    assert shading.doubtful({"word": word, "probability": probability}, given) is expected


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
    ("confidence", "more", "side", "level"),
    [
        (0.39, {}, 640, "check"),
        (0.4, {}, 640, "right"),
        (0.1, {"trust": "right"}, 640, "right"),
        (0.9, {"trust": "check"}, 640, "check"),
        (0.9, {"trust": "unknown"}, 640, "unknown"),
        (0.9, {"trust": "right"}, 15, "unknown"),
        (0.9, {"trust": "right"}, 16, "right"),
    ],
)
def test_a_caption_has_its_trust_or_else_that_of_its_confidence(
    confidence: float, more: dict[str, Any], side: int, level: str
) -> None:
    one: Any = {**caption("a dog", "a", "dog"), "confidence": confidence, **more}
    given: Any = {"captions": [one], "image": {"width": 640, "height": side}}
    assert shading.trust(given) == level


def test_no_trust_is_made_up_for_a_confidence_that_was_never_fitted() -> None:
    given: Any = {"captions": [caption("a dog", "a", "dog")], "image": ANSWER["image"]}
    assert shading.trust({**given, "calibrated": False}) is None


def test_the_script_has_the_same_rules() -> None:
    scripts = Path(webui.__file__).parent / "static/js/captions"
    words, trust, view = (
        (scripts / name).read_text() for name in ("words.js", "trust.js", "result/view.js")
    )
    assert f"DOUBTFUL_BELOW = {shading.DOUBTFUL_BELOW};" in words
    listed = re.search(r"FUNCTION_WORDS = new Set\(\((.*?)\)\.split", words, re.DOTALL)
    assert listed
    assert set(" ".join(re.findall(r'"([^"]*)"', listed[1])).split()) == shading.FUNCTION_WORDS
    assert f"CHECK_BELOW = {shading.CHECK_BELOW};" in trust
    assert f"SMALLEST = {shading.SMALLEST};" in trust
    assert f">= {shading.SURE_TAG})" in trust
    assert all(f'  {level}: "{mark}",' in trust for level, mark in shading.MARKS.items())
    assert all(f'  {level}: "{text}",' in view for level, text in shading.MEANING.items())
