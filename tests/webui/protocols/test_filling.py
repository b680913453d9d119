"""A caption as the object that a schema asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from webui.protocols.filling import filled
from webui.web.bodies import BadBody

FIRST, SECOND = (
    {"caption": text, "confidence": share, "log_probability": -1.0, "words": []}
    for text, share in (("a dog", 0.6), ("two dogs", 0.3))
)
ANSWER: Any = {
    "caption": "a dog",
    "captions": [FIRST, SECOND],
    "tags": [{"word": "dog", "probability": 0.9}, {"word": "grass", "probability": 0.4}],
}
TEXT, NUMBER = {"type": "string"}, {"type": "number"}
# What PhotoPrism's own schema for labels asks for.
LABELS = {
    "type": "object",
    "properties": {
        "labels": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": TEXT, "confidence": NUMBER, "topicality": NUMBER},
                "required": ["name", "confidence", "topicality"],
            },
        }
    },
    "required": ["labels"],
}


def fill(schema: dict[str, Any]) -> Any:
    return json.loads(filled(schema, ANSWER, FIRST))


@pytest.mark.parametrize(
    ("properties", "value"),
    [
        ({"caption": TEXT}, {"caption": "a dog"}),
        ({"Alt-Text": TEXT, "unknown": TEXT}, {"Alt-Text": "a dog"}),
        ({"confidence": NUMBER}, {"confidence": 0.6}),
        ({"tags": {"type": "array", "items": TEXT}}, {"tags": ["dog", "grass"]}),
        ({"tags": {"type": "array", "items": TEXT, "maxItems": 1}}, {"tags": ["dog"]}),
        ({"keywords": TEXT}, {"keywords": "dog, grass"}),
        ({"alternatives": {"type": "array", "items": TEXT}}, {"alternatives": ["two dogs"]}),
        (
            {"caption": {"type": "object", "properties": {"text": TEXT, "confidence": NUMBER}}},
            {"caption": {"text": "a dog", "confidence": 0.6}},
        ),
        ({"description": {"anyOf": [{"type": "null"}, TEXT]}}, {"description": "a dog"}),
        ({"description": {"type": ["string", "null"]}}, {"description": "a dog"}),
        ({"colour": {"type": ["string", "null"]}}, {"colour": None}),
        ({"colour": {"type": "string", "default": "none"}}, {"colour": "none"}),
    ],
)
def test_known_names_are_filled(properties: dict[str, Any], value: object) -> None:
    assert fill({"type": "object", "properties": properties}) == value


def test_labels_have_a_name_and_a_number_each() -> None:
    labels = fill(LABELS)["labels"]
    assert labels[0] == {"name": "dog", "confidence": 0.9, "topicality": 0.9}


def test_references_lead_into_the_schema() -> None:
    item = {"type": "object", "properties": {"word": TEXT, "score": NUMBER}}
    properties = {"tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}}}
    found = fill({"type": "object", "$defs": {"Tag": item}, "properties": properties})
    assert found["tags"][1] == {"word": "grass", "score": 0.4}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": TEXT},
        {"type": "object", "properties": {"colour": TEXT}, "required": ["colour"]},
        {"properties": {"caption": {"$ref": "#/properties/caption"}}, "required": ["caption"]},
        {"properties": {"caption": {"$ref": "#/nowhere"}}, "required": ["caption"]},
        {"$ref": "#"},
        {"properties": 7},
    ],
)
def test_what_cannot_be_filled_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(BadBody, match=r"schema .*\.$"):
        fill(schema)


def test_a_small_schema_of_a_huge_object_is_refused() -> None:
    names = ["caption", "Caption", "text", "Text", "title", "Title"]
    schema: dict[str, Any] = TEXT
    for _ in range(4):  # 6 ** 4 texts
        schema = {"type": "object", "properties": dict.fromkeys(names, schema)}
    with pytest.raises(BadBody, match="at most 1000"):
        fill(schema)


def test_without_a_schema_there_is_all() -> None:
    assert fill({}) == {
        "caption": "a dog",
        "alternatives": ["two dogs"],
        "tags": ["dog", "grass"],
        "confidence": 0.6,
        "labels": [
            {"name": "dog", "confidence": 0.9},
            {"name": "grass", "confidence": 0.4},
        ],
    }
