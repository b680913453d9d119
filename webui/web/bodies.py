"""What programs send: JSON bodies of a few members, and names in addresses."""

from __future__ import annotations

import json
from typing import Any

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from webui.web.names import NAME
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
    if not isinstance(value, str) or not value:
        raise BadBody(f"Expected a text for {name}, got {json.dumps(value)[:50]}.")
    return value


def whole(body: dict[str, Any], name: str, low: int, high: int) -> int | None:
    """A member that is a whole number from `low` to `high`, None without it. Raises BadBody."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadBody(
            f"Expected a whole number from {low} to {high} for {name}, got "
            f"{json.dumps(value)[:50]}."
        )
    return value


def share(body: dict[str, Any], name: str) -> float:
    """A member that is a number above 0 and at most 1. Raises BadBody."""
    value = body.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise BadBody(
            f"Expected a number above 0 and at most 1 for {name}, such as 0.1 for a tenth, got "
            f"{json.dumps(value)[:50]}."
        )
    return float(value)


def check_names(name: str = "captioner", version: str = "1.0") -> None:
    """Raise ServiceError 404 for names that no model and no version has."""
    for what in (name, version):
        if not NAME.fullmatch(what):
            raise ServiceError(
                f"There is no model or version {what[:100]!r}: names are letters, digits, '.', "
                "'_' and '-'. Look at the list of versions.",
                code=404,
                type="NoSuchVersion",
            )
