"""A caption as the JSON object that a client's schema asks for.

The model writes no JSON. So the schema's names are looked up among those that we have something to
say for, and whatever else it requires is refused: an invented value would look like a found one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from webui.torchserve.answer import Answer, Caption
from webui.web.bodies import BadBody

TEXTS = {"caption", "description", "text", "alt", "alt_text", "title", "sentence"}
WORDS = {"name", "word", "tag", "label"}
SHARES = {"confidence", "probability", "score", "topicality"}
LISTS = {"alternatives": "others", "captions": "captions"} | dict.fromkeys(
    ("tags", "labels", "keywords"), "tags"
)
KNOWN = "caption, alternatives, tags and confidence"
HOPS = 10  # from one $ref to the next
DEEPEST = 4  # objects and lists in each other
MOST = 1000  # members of all objects: names differ by case alone, and a $ref is soon written
NOTHING = object()


@dataclass(frozen=True)
class Thing:
    """A text that is true with some probability, and the lists that belong to it."""

    text: str
    share: float
    names: set[str]  # what its text may be called
    lists: dict[str, list[Thing]] = field(default_factory=dict)


def filled(schema: dict[str, Any], answer: Answer, caption: Caption) -> str:
    """The object that the schema asks for, as JSON; {} asks for all there is. Raises BadBody."""
    captions = [Thing(one["caption"], one["confidence"], TEXTS) for one in answer["captions"]]
    tags = [Thing(one["word"], one["probability"], WORDS) for one in answer.get("tags", [])]
    others = [one for one in captions if one.text != caption["caption"]]
    lists = {"captions": captions, "others": others, "tags": tags}
    whole = Thing(caption["caption"], caption["confidence"], TEXTS, lists)
    if not schema:
        return _json(
            {
                "caption": whole.text,
                "alternatives": [one.text for one in others],
                "tags": [one.text for one in tags],
                "confidence": whole.share,
                "labels": [{"name": one.text, "confidence": one.share} for one in tags],
            }
        )
    value = _Filler(schema).object(schema, whole, 0)
    return _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class _Filler:
    """Fills one schema; its $refs lead into itself."""

    def __init__(self, whole: dict[str, Any]) -> None:
        self._whole = whole
        self._left = MOST

    def object(self, schema: Any, thing: Thing, depth: int) -> dict[str, Any]:
        """An object with what is known of the schema's properties."""
        schema = self._plain(schema)
        members = schema.get("properties")
        if not isinstance(members, dict) or depth > DEEPEST:
            raise BadBody(
                f"Expected a JSON schema of an object with properties, such as {KNOWN}, got none."
            )
        self._left -= len(members)
        if self._left < 0:
            raise BadBody(f"Expected a JSON schema of at most {MOST} values, got more.")
        required = schema.get("required")
        found = {}
        for name, member in members.items():
            value = self._member(name, member, thing, depth)
            if value is not NOTHING:
                found[name] = value
            elif isinstance(required, list) and name in required:
                raise BadBody(
                    f"The schema requires {name[:50]!r}, of which this model knows nothing. It "
                    f"can fill {KNOWN}, and a name or text and a confidence in each of a list."
                )
        return found

    def _member(self, name: str, schema: Any, thing: Thing, depth: int) -> Any:
        """The value of one property, NOTHING where it is not known."""
        plain, kind = self._plain(schema), name.lower().replace("-", "_")
        type_ = plain.get("type")
        if kind in LISTS and LISTS[kind] in thing.lists:
            things = thing.lists[LISTS[kind]]
            if type_ == "array":
                return self._array(plain, things, depth)
            if type_ == "string":
                return ", ".join(one.text for one in things)
        elif kind in thing.names:
            if type_ == "string":
                return thing.text
            if type_ == "object":
                return self.object(plain, thing, depth + 1)
        elif kind in SHARES and type_ == "number":
            return thing.share
        if plain.get("nullable"):
            return None
        return plain.get("default", NOTHING)

    def _array(self, schema: dict[str, Any], things: list[Thing], depth: int) -> list[Any]:
        items, most = self._plain(schema.get("items")), schema.get("maxItems")
        if isinstance(most, int):
            things = things[:most]
        if items.get("type") == "object":
            return [self.object(items, thing, depth + 1) for thing in things]
        return [thing.text for thing in things]

    def _plain(self, schema: Any) -> dict[str, Any]:
        """The schema behind references and alternatives; `nullable` where it may be null."""
        nullable = False
        for _ in range(HOPS):
            if not isinstance(schema, dict):
                return {}
            choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
            if isinstance(reference := schema.get("$ref"), str):
                schema = self._find(reference)
            elif isinstance(choices, list) and choices:
                null = {"type": "null"}
                nullable |= null in choices
                schema = next((one for one in choices if one != null), {})
            elif isinstance(types := schema.get("type"), list):
                nullable |= "null" in types
                schema = {**schema, "type": next((one for one in types if one != "null"), None)}
            else:
                return {**schema, "nullable": nullable}
        return {}

    def _find(self, reference: str) -> Any:
        found: Any = self._whole
        for name in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(name) if isinstance(found, dict) and name else found
        return found
