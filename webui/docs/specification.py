"""The API's OpenAPI document, put together from the files in `spec/`.

The files are OpenAPI 3.1, but leave out what can be said once. This module adds it:

- A name where OpenAPI expects an object is a component: `schema: Version`, `"200": Page`,
  `parameters: [Name]`, `requestBody: Picture`.
- `json: Version` in an answer or a request is short for its `content`, and `form` for that of a
  multipart form; an `example` beside it belongs to the content.
- A schema with `properties` is an object.
- What a file has under `every operation` applies to each of its operations that does not have the
  same key itself.
- `errors` in errors.yaml describes each kind of error. An operation's `errors` lists the statuses
  that it may answer with, besides those that follow from what it is: 400 under /api where it takes
  a body or changes something for the administrator; 401, 403 and 429 where it is the
  administrator's; 404 where its path names something; and `default` for all others, as JSON under
  /api and as a page elsewhere.
- An operation's `problem` stands for every error in their place, in the shape of a foreign API.
- A change by the administrator takes the header with the CSRF token.
- Every answer carries X-Request-ID.

What a file spells out stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "spec"
BASE = "base.yaml"  # info, security schemes, tags; the other files add paths and components
METHODS = ("get", "put", "post", "delete")
MEDIA_TYPES = {"json": "application/json", "form": "multipart/form-data"}

Node = dict[str, Any]


@cache
def specification() -> Node:
    """The whole document. It is shared: read it, do not change it.

    Raises ValueError when two files say the same thing.
    """
    whole = _load(FOLDER / BASE)
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name != BASE:
            _merge(whole, _load(path), path.name)
    _complete(whole)
    return whole


def _load(path: Path) -> Node:
    """One file, with what it says of every operation in each of them."""
    part: Node = yaml.safe_load(path.read_text(encoding="utf-8"))
    common = part.pop("every operation", {})
    for _, item, method in _operations(part):
        item[method] = {**common, **item[method]}
    return part


def _merge(whole: Node, part: Node, where: str) -> None:
    """Add the members of `part`, going down into objects that both have."""
    for name, value in part.items():
        if name not in whole:
            whole[name] = value
        elif isinstance(whole[name], dict) and isinstance(value, dict):
            _merge(whole[name], value, f"{where}: {name}")
        else:
            raise ValueError(f"{where}: {name} stands in another file already")


def _operations(part: Node) -> Iterator[tuple[str, Node, str]]:
    """Path, path item and method of each operation."""
    for path, item in part.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                yield path, item, method


def _complete(whole: Node) -> None:
    """Add, in place, what the files leave out."""
    components = whole["components"]
    answers = components["responses"]
    statuses = {}
    for name, error in whole.pop("errors").items():
        answers[name] = _error(**error)
        statuses[error["code"]] = name
    for answer in answers.values():
        _answer(answer)
    for body in components["requestBodies"].values():
        _content(body)
    for schema in components["schemas"].values():
        _schema(schema)
    for path, item in whole["paths"].items():
        if "parameters" in item:
            item["parameters"] = _references("parameters", item["parameters"])
        for method in METHODS:
            if method in item:
                _operation(path, method, item[method], statuses)


def _error(code: int, description: str, type: str, message: str, retry: bool = False) -> Node:
    """The answer with this error; `retry` is whether it says when to try again."""
    return {
        "description": description,
        "headers": {"Retry-After": _reference("headers", "RetryAfter")} if retry else {},
        "json": "Error",
        "example": {"code": code, "type": type, "message": message},
    }


def _operation(path: str, method: str, operation: Node, statuses: dict[int, str]) -> None:
    """Complete an operation in place; `statuses` has the answer for each error."""
    parameters = _references("parameters", operation.pop("parameters", []))
    errors = set(operation.pop("errors", []))
    problem = operation.pop("problem", None)
    in_api = path.startswith("/api/")
    if "requestBody" in operation:
        operation["requestBody"] = body = _reference("requestBodies", operation["requestBody"])
        if "$ref" not in body:
            _content(body)
            body.setdefault("required", True)
        if in_api:
            errors.add(400)
    if {"token": []} in operation.get("security", []):
        errors |= {401, 403, 429}
        csrf = _reference("parameters", "Csrf")
        if method != "get":
            errors.add(400)
            if csrf not in parameters:
                parameters.append(csrf)
    if "{" in path:
        errors.add(404)
    if parameters:
        operation["parameters"] = parameters
    shared = {} if problem else {str(code): statuses[code] for code in errors}
    answers = shared | operation["responses"]
    answers.setdefault("default", problem or ("Problem" if in_api else "ProblemPage"))
    operation["responses"] = {
        code: _answer(_reference("responses", answers[code])) for code in sorted(answers)
    }


def _answer(answer: Node) -> Node:
    """Complete an answer in place, unless it refers to one that is."""
    if "$ref" not in answer:
        request_id = {"X-Request-ID": _reference("headers", "RequestId")}
        answer["headers"] = request_id | answer.get("headers", {})
        _content(answer)
    return answer


def _content(holder: Node) -> None:
    """Complete the content of an answer or a request in place."""
    for short, media_type in MEDIA_TYPES.items():
        if short in holder:
            content = {"schema": holder.pop(short)}
            if "example" in holder:
                content["example"] = holder.pop("example")
            holder["content"] = {media_type: content}
    for content in holder.get("content", {}).values():
        content["schema"] = _schema(content["schema"])


def _schema(schema: str | Node) -> Node:
    """Complete a schema, and those inside it, in place; a name becomes a reference."""
    if isinstance(schema, str):
        return _reference("schemas", schema)
    if "properties" in schema:
        schema.setdefault("type", "object")
        for name, member in schema["properties"].items():
            schema["properties"][name] = _schema(member)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), str | dict):
            schema[name] = _schema(schema[name])
    for name in ("allOf", "anyOf"):
        if name in schema:
            schema[name] = [_schema(one) for one in schema[name]]
    return schema


def _references(kind: str, named: list[str | Node]) -> list[Node]:
    return [_reference(kind, one) for one in named]


def _reference(kind: str, named: str | Node) -> Node:
    """A name as the reference that it stands for; anything else as it is."""
    return {"$ref": f"#/components/{kind}/{named}"} if isinstance(named, str) else named
