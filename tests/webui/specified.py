"""What the specification says of an answer, for tests that hold answers against it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from werkzeug.test import TestResponse

from webui.docs import specification

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of everything that is specified."""
    for path, item in specification.specification()["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, method, operation


def examples(node: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Every example with its schema, wherever both stand side by side."""
    if isinstance(node, dict):
        if "example" in node and "schema" in node:
            yield node["example"], node["schema"]
        elif "example" in node:
            yield node["example"], node
        for value in node.values():
            yield from examples(value)
    elif isinstance(node, list):
        for value in node:
            yield from examples(value)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """The node, or what its $ref points to."""
    while "$ref" in node:
        whole: Any = specification.specification()
        for name in node["$ref"].removeprefix("#/").split("/"):
            whole = whole[name]
        node = whole
    return node


def check(value: object, schema: dict[str, Any]) -> None:
    """Assert that a value fits a schema of the specification."""
    whole = {**schema, "components": specification.specification()["components"]}
    found = list(Draft202012Validator(whole, format_checker=FormatChecker()).iter_errors(value))
    assert not found, [(list(error.path), error.message) for error in found]


def check_answer(path: str, response: TestResponse) -> None:
    """Assert that an answer is one that the specification has for this path."""
    method = response.request.method.lower()
    operation = specification.specification()["paths"][path][method]
    answers = operation["responses"]
    answer = resolved(answers.get(str(response.status_code)) or answers["default"])
    for name, header in answer.get("headers", {}).items():
        check_header(name, resolved(header), response)
    content = answer.get("content")
    if content is None:
        assert response.data == b""
        return
    assert response.mimetype in content, (path, response.status_code, response.mimetype)
    if response.mimetype == "application/json":
        check(response.get_json(), content["application/json"]["schema"])


def check_header(name: str, header: dict[str, Any], response: TestResponse) -> None:
    """Assert that the header is there and fits."""
    value = response.headers[name]
    schema = header["schema"]
    check(int(value) if schema.get("type") == "integer" else value, schema)


def path_of(rule: str) -> str:
    """Flask's /models/<name> as the specification writes it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)
