"""The specification: valid, complete, and true of what the application answers."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.webui import specified
from tests.webui.fake_torchserve import ANSWER, FakeTorchServe
from tests.webui.told_by_torchserve import VERSION
from webui.docs import specification


def routes(app: Flask) -> set[tuple[str, str]]:
    """Path and method of every route."""
    return {
        (specified.path_of(rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if rule.endpoint != "static" and method not in ("HEAD", "OPTIONS")
    }


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(specification.specification()).validate()


def test_it_is_served(client: FlaskClient) -> None:
    response = client.get("/api/openapi.json")
    assert response.mimetype == "application/json"
    assert response.get_json() == json.loads(json.dumps(specification.specification()))


def test_every_route_is_in_it_and_every_path_is_a_route(make_app: Callable[..., Flask]) -> None:
    there = routes(make_app())
    written = {(path, method) for path, method, _ in specified.operations()}
    assert there - written == set()
    assert written - there == set()


def test_every_operation_says_what_it_is() -> None:
    tags = {tag["name"] for tag in specification.specification()["tags"]}
    names = []
    for path, _, operation in specified.operations():
        assert set(operation["tags"]) <= tags, path
        assert operation["summary"]
        names.append(operation["operationId"])
    assert len(names) == len(set(names))


ADMINISTRATOR = [{"token": []}, {"session": []}]
KEY = [{}, {"key": []}]  # where keys are set


def test_what_is_the_administrators_asks_for_a_credential() -> None:
    foreign = ("Ollama", "OpenAI", "Open Inference Protocol")
    probes = ("/v2/health/live", "/v2/health/ready")
    with_key = {f"/api/{name}" for name in ("captions", "explanations", "inscriptions", "votes")}
    open_to_all = {"/api/versions", "/api/openapi.json", "/api/docs"}
    for path, _, operation in specified.operations():
        keyed = path in with_key or (operation["tags"][0] in foreign and path not in probes)
        closed = path.startswith("/api/") and path not in open_to_all and not keyed
        wanted = KEY if keyed else ADMINISTRATOR if closed else []
        assert operation.get("security", []) == wanted, path
        if closed:
            assert {"401", "403", "429", "default"} <= set(operation["responses"]), path


def test_every_answer_has_what_all_answers_have() -> None:
    for path, method, operation in specified.operations():
        codes = list(operation["responses"])
        assert codes == sorted(codes), path
        for answer in map(specified.resolved, operation["responses"].values()):
            assert "X-Request-ID" in answer["headers"], path
        errors = specified.resolved(operation["responses"]["default"])["content"]
        assert ("application/json" in errors) is path.startswith(("/api/", "/v1/", "/v2"))
        names = [specified.resolved(one)["name"] for one in operation.get("parameters", [])]
        closed = operation.get("security") == ADMINISTRATOR
        assert ("X-CSRFToken" in names) is (closed and method != "get"), path


def test_every_example_fits_its_schema() -> None:
    found = list(specified.examples(specification.specification()))
    assert len(found) > 20
    for example, schema in found:
        specified.check(example, schema)


def test_every_reference_is_used_and_leads_somewhere() -> None:
    text = json.dumps(specification.specification())
    references = set(re.findall(r'"#/components/(\w+)/(\w+)"', text))
    for kind, name in references:
        assert name in specification.specification()["components"][kind]
    for kind, members in specification.specification()["components"].items():
        if kind != "securitySchemes":
            assert {name for name in members if (kind, name) not in references} == set(), kind


def test_two_files_that_say_the_same_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "base.yaml").write_text("paths: {/a: {get: {summary: One}}}")
    (tmp_path / "more.yaml").write_text("paths: {/a: {get: {summary: Two}}}")
    monkeypatch.setattr(specification, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="more.yaml: paths: /a: get: summary"):
        specification.specification.__wrapped__()


BASE = """
errors:
  NotFound: {code: 404, description: Not there., type: NoSuchThing, message: Look again.}
  BadRequest: {code: 400, description: Bad., type: Bad, message: Mend it.}
paths:
  /api/long/{name}:
    put:
      parameters: [{$ref: "#/components/parameters/Name"}]
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, properties: {of: {$ref: "#/components/schemas/Thing"}}}
            example: {of: {}}
      responses:
        "200":
          description: Done.
          headers: {X-Request-ID: {$ref: "#/components/headers/RequestId"}}
          content:
            application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Thing"}}}
        "400": {$ref: "#/components/responses/BadRequest"}
        "404": {$ref: "#/components/responses/NotFound"}
        default: {$ref: "#/components/responses/Problem"}
components:
  requestBodies: {}
  responses: {Problem: {description: Any other.}}
  schemas: {Thing: {}}
"""
SHORT = """
every operation: {parameters: [Name]}
paths:
  /api/short/{name}:
    put:
      requestBody: {json: {properties: {of: Thing}}, example: {of: {}}}
      responses: {"200": {description: Done., json: {type: array, items: Thing}}}
"""


def test_the_short_form_is_the_long_one_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "short.yaml").write_text(SHORT)
    monkeypatch.setattr(specification, "FOLDER", tmp_path)
    whole = specification.specification.__wrapped__()
    assert whole["paths"]["/api/short/{name}"] == whole["paths"]["/api/long/{name}"]
    assert whole["components"]["responses"]["NotFound"]["content"]["application/json"] == {
        "schema": {"$ref": "#/components/schemas/Error"},
        "example": {"code": 404, "type": "NoSuchThing", "message": "Look again."},
    }
    assert "errors" not in whole


# --- Answers ---


def picture(**fields: str) -> dict[str, Any]:
    return {**fields, "image": (io.BytesIO(b"a picture"), "p.jpg")}


def error(code: int, type_: str) -> dict[str, Any]:
    return {"code": code, "type": type_, "message": "In its own words."}


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/operations"])
def test_what_is_read_fits(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    specified.check_answer(path, response)


@pytest.mark.parametrize("path", ["/api/docs", "/api/openapi.json", "/api/operations"])
def test_what_is_read_of_the_api_fits(
    administrator: FlaskClient, torchserve: FakeTorchServe, path: str
) -> None:
    torchserve.versions = [VERSION]
    response = administrator.get(path)
    assert response.status_code == 200
    specified.check_answer(path, response)


@pytest.mark.parametrize("path", ["/readyz", "/api/operations"])
def test_what_is_read_while_torchserve_is_away_fits(
    administrator: FlaskClient, torchserve: FakeTorchServe, path: str
) -> None:
    torchserve.stop()
    specified.check_answer(path, administrator.get(path))


@pytest.mark.parametrize(
    ("fields", "reply", "status"),
    [
        ({}, None, 200),
        ({"beam_size": "many"}, None, 400),
        ({}, error(400, "InvalidOption"), 400),
        ({}, error(413, "ImageTooLarge"), 413),
        ({}, error(415, "UnsupportedImage"), 415),
        ({}, error(422, "CorruptImage"), 422),
        ({}, error(500, "Anything"), 502),
        ({}, error(503, "ServiceUnavailableException"), 503),
    ],
)
def test_what_a_caption_is_answered_fits(
    client: FlaskClient,
    torchserve: FakeTorchServe,
    fields: dict[str, str],
    reply: dict[str, Any] | None,
    status: int,
) -> None:
    if reply is not None:
        torchserve.reply(reply["code"], reply)
    response = client.post("/api/captions", data=picture(**fields))
    assert response.status_code == status
    specified.check_answer("/api/captions", response)


def test_a_caption_too_slow_and_too_many_fit(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe
) -> None:
    client = make_app(TIMEOUT_S=0.1, RATE_LIMIT="1 per hour").test_client()
    torchserve.reply(200, wait=0.5)
    for status in (504, 429):
        response = client.post("/api/captions", data=picture())
        assert response.status_code == status
        specified.check_answer("/api/captions", response)


def test_a_caption_while_torchserve_is_away_fits(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.stop()
    response = client.post("/api/captions", data=picture())
    assert response.status_code == 502
    specified.check_answer("/api/captions", response)


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({"tags": [], "calibrated": False}, True),
        ({"calibrated": True}, False),
        ({"tags": [{"word": "dog"}]}, False),
        ({"captions": [{**ANSWER["captions"][0], "trust": "unknown"}]}, True),
        ({"captions": [{**ANSWER["captions"][0], "trust": "somewhat"}]}, False),
    ],
)
def test_tags_and_trust_are_specified(change: dict[str, Any], fits: bool) -> None:
    schema = {"$ref": "#/components/schemas/Captions"}
    with nullcontext() if fits else pytest.raises(AssertionError):
        specified.check({**ANSWER, **change}, schema)


def test_what_the_form_is_answered_fits(client: FlaskClient) -> None:
    refused = client.post("/", data=picture())
    assert refused.status_code == 400
    specified.check_answer("/", refused)
    page = client.get("/").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    response = client.post("/", data=picture(csrf_token=token))
    assert response.status_code == 200
    specified.check_answer("/", response)


@pytest.mark.parametrize("path", ["/", "/login", "/operations"])
def test_what_an_untrusted_host_name_is_answered_fits(client: FlaskClient, path: str) -> None:
    response = client.get(path, headers={"Host": "evil.example"})
    assert response.status_code == 400
    specified.check_answer(path, response)


@pytest.mark.parametrize("path", ["/api/openapi.json", "/api/operations", "/api/docs"])
def test_what_an_untrusted_host_name_is_answered_by_the_api_fits(
    client: FlaskClient, path: str
) -> None:
    response = client.get(path, headers={"Host": "evil.example"})
    assert response.status_code == 400
    specified.check_answer(path, response)
