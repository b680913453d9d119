"""JSON bodies of a few members, as programs send them."""

from __future__ import annotations

import json
from typing import Any

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from webui.web.problem import ServiceError

BODY_BYTES = 16 * 1024


class BadBody(ServiceError):
    """A JSON body that is not what was expected."""

    code = 400
    type = "BadBody"


def read(*names: str) -> dict[str, Any]:
    """The JSON object that was sent, with no members but these. Raises BadBody."""
    expected = f"Expected a JSON object (Content-Type: application/json) of {', '.join(names)}"
    request.max_content_length = BODY_BYTES
    try:
        body = request.get_json(silent=True)
    except RequestEntityTooLarge as error:
        message = f"{expected}, of at most {BODY_BYTES} bytes. Send it shorter."
        raise BadBody(message, code=413, type="BodyTooLarge") from error
    if not isinstance(body, dict):
        raise BadBody(f"{expected}, got none.")
    if unknown := sorted(set(body) - set(names)):
        raise BadBody(f"{expected}, got also {unknown[0][:50]!r}.")
    return body


def text(body: dict[str, Any], name: str) -> str:
    """A member that is a text, and not an empty one. Raises BadBody."""
    value = body.get(name)
    _expect(isinstance(value, str) and value != "", "a text", name, value)
    return str(value)


def whole(body: dict[str, Any], name: str, low: int, high: int) -> int | None:
    """A member that is a whole number from `low` to `high`, None without it. Raises BadBody."""
    value = body.get(name)
    if value is None:
        return None
    right = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    _expect(right, f"a whole number from {low} to {high}", name, value)
    return int(value)


def share(body: dict[str, Any], name: str) -> float:
    """A member that is a number above 0 and at most 1. Raises BadBody."""
    value = body.get(name)
    right = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
    _expect(right, "a number above 0 and at most 1, such as 0.1 for a tenth,", name, value)
    return float(value)  # type: ignore[arg-type]


def _expect(right: bool, what: str, name: str, value: object) -> None:
    if not right:
        raise BadBody(f"Expected {what} for {name}, got {json.dumps(value)[:50]}.")
