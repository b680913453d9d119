"""POST /api/captions: what TorchServe gets, and every error of the table."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from urllib3 import encode_multipart_formdata
from werkzeug.test import TestResponse

from tests.webui.fake_management import FakeVersion
from tests.webui.fake_torchserve import ANSWER, FakeTorchServe, explained

PICTURE = b"\xff\xd8\xff the bytes of a picture"


def post(
    client: FlaskClient, picture: bytes = PICTURE, to: str = "captions", **fields: str
) -> TestResponse:
    """Send a picture as a program would."""
    # Not by the client's own means, which write large forms to temporary files.
    body, content_type = encode_multipart_formdata({**fields, "image": ("p.jpg", picture)})
    return client.post(f"/api/{to}", data=body, content_type=content_type)


def check(response: TestResponse, code: int, type_: str, message: str) -> None:
    """Assert the whole form of an error."""
    assert response.status_code == code
    assert response.mimetype == "application/json"
    body = response.get_json()
    assert sorted(body) == ["code", "message", "type"]
    assert (body["code"], body["type"]) == (code, type_)
    assert message in body["message"]


def test_the_answer_is_torchserves(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    response = post(client, beam_size="4", max_length="12", num_captions="")
    assert response.status_code == 200
    assert response.get_json() == ANSWER
    [seen] = torchserve.predictions()
    assert seen.path == "/predictions/captioner"
    assert seen.body == PICTURE
    assert (seen.headers["X-Beam-Size"], seen.headers["X-Max-Length"]) == ("4", "12")
    assert "X-Num-Captions" not in seen.headers


def test_an_explanation_says_where_each_word_looked(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    response = post(client, to="explanations", beam_size="4")
    assert response.status_code == 200
    assert response.get_json() == explained()
    [seen] = torchserve.predictions()
    assert seen.path == "/explanations/captioner"
    assert (seen.body, seen.headers["X-Beam-Size"]) == (PICTURE, "4")


@pytest.mark.parametrize(
    "attention",
    [
        None,
        {"rows": 1, "columns": 2},
        {"rows": 2, "columns": 2, "weights": [0.5, 0.5]},
        {"rows": 0, "columns": 0, "weights": []},
        {"rows": 1, "columns": 1, "weights": ["much"]},
    ],
)
def test_an_explanation_without_a_grid_is_502(
    client: FlaskClient, torchserve: FakeTorchServe, attention: object
) -> None:
    answer = explained()
    answer["captions"][1]["words"][1]["attention"] = attention
    torchserve.reply(200, answer)
    check(post(client, to="explanations"), 502, "CaptioningFailed", "could not caption")


@pytest.mark.parametrize(
    ("route", "verb"), [("captions", "predictions"), ("explanations", "explanations")]
)
def test_a_version_can_be_asked_for(
    client: FlaskClient, torchserve: FakeTorchServe, route: str, verb: str
) -> None:
    assert post(client, to=route, version=" 2.0-beta ").status_code == 200
    assert post(client, to=route, version="").status_code == 200
    paths = [seen.path for seen in torchserve.predictions()]
    assert paths == [f"/{verb}/captioner/2.0-beta", f"/{verb}/captioner"]


@pytest.mark.parametrize(
    "version", ["..", "1/2", "token", "tokens-1", "a?b", "%2e%2e", "1\r\nX: 1", "é", "9" * 65]
)
def test_a_version_that_is_none_is_400(
    client: FlaskClient, torchserve: FakeTorchServe, version: str
) -> None:
    check(post(client, version=version), 400, "InvalidOption", "GET /api/versions lists them")
    assert torchserve.seen == []


def test_a_version_that_is_not_registered_is_404(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    absent = {"code": 404, "type": "ModelVersionNotFoundException", "message": "secret"}
    torchserve.reply(404, absent)
    check(post(client, version="9.9"), 404, "UnknownVersion", "got '9.9'")
    # Nobody asked for one: the model is being loaded.
    torchserve.reply(404, absent)
    check(post(client), 503, "Busy", "Try again")


def test_the_versions_are_listed(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    second = FakeVersion("second.mar", ["READY"])
    torchserve.models.versions["captioner"]["2.0"] = second
    assert client.get("/api/versions").get_json() == {
        "model": "captioner",
        "default": "1.0",
        "versions": [
            {"version": "1.0", "default": True, "ready": True},
            {"version": "2.0", "default": False, "ready": True},
        ],
    }


def test_a_version_without_a_ready_worker_is_listed_as_such(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.worker_states = ["UNLOADING"]
    [version] = client.get("/api/versions").get_json()["versions"]
    assert version == {"version": "1.0", "default": True, "ready": False}


def test_no_version_while_the_model_is_not_registered(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.models.versions.clear()
    answer = client.get("/api/versions").get_json()
    assert answer == {"model": "captioner", "default": None, "versions": []}


def test_the_versions_are_502_while_torchserve_is_away(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.stop()
    check(client.get("/api/versions"), 502, "CaptioningAway", "cannot be reached")


def test_no_header_of_the_client_reaches_torchserve(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    client.post(
        "/api/captions?x=/token",
        data={"image": (io.BytesIO(PICTURE), "/token.jpg")},
        headers={"describe": "True", "X-Beam-Size": "99", "Authorization": "Bearer x"},
    )
    [seen] = torchserve.predictions()
    assert set(seen.headers) == {
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Encoding",
        "Connection",
        "Content-Type",
        "Content-Length",
        "Authorization",
        "X-Request-ID",
    }
    assert seen.headers["Authorization"] == "Bearer inference-2"


@pytest.mark.parametrize(
    ("data", "type_", "message"),
    [
        ({}, "MissingImage", "Expected one picture in the multipart/form-data field 'image'"),
        ({"image": "text, not a file"}, "MissingImage", "got none"),
        ({"image": (io.BytesIO(b""), "")}, "MissingImage", "got none"),
        ({"image": (io.BytesIO(b""), "empty.jpg")}, "MissingImage", "got an empty file"),
        ({"picture": (io.BytesIO(b"x"), "p.jpg")}, "MissingImage", "got none"),
        (
            {"image": [(io.BytesIO(b"x"), "1.jpg"), (io.BytesIO(b"y"), "2.jpg")]},
            "SeveralImages",
            "got 2",
        ),
    ],
)
def test_a_request_without_one_picture_is_400(
    client: FlaskClient, torchserve: FakeTorchServe, data: dict[str, Any], type_: str, message: str
) -> None:
    response = client.post("/api/captions", data=data, content_type="multipart/form-data")
    check(response, 400, type_, message)
    assert torchserve.seen == []


def test_a_body_that_is_no_form_is_400(client: FlaskClient) -> None:
    check(client.post("/api/captions", data=PICTURE), 400, "MissingImage", "multipart/form-data")


@pytest.mark.parametrize("value", ["many", "1.5", "-1", "1_0", "٣", "3\r\nX-Evil: 1", "9" * 10])
def test_an_option_that_is_no_number_is_400(
    client: FlaskClient, torchserve: FakeTorchServe, value: str
) -> None:
    check(post(client, beam_size=value), 400, "InvalidOption", "whole number for beam_size")
    assert torchserve.seen == []


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "InvalidOption"),
        (413, "ImageTooLarge"),
        (415, "UnsupportedImage"),
        (422, "CorruptImage"),
    ],
)
def test_the_handlers_errors_pass_through(
    client: FlaskClient, torchserve: FakeTorchServe, status: int, type_: str
) -> None:
    torchserve.reply(status, {"code": status, "type": type_, "message": "In its own words."})
    check(post(client), status, type_, "In its own words.")


def test_a_picture_over_the_limit_is_413(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    limit = 2 * 1024 * 1024
    assert post(client, bytes(limit)).status_code == 200
    check(post(client, bytes(limit + 1)), 413, "ImageTooLarge", "at most 2 MB")
    check(post(client, bytes(2 * limit)), 413, "ImageTooLarge", "at most 2 MB")
    assert len(torchserve.predictions()) == 1


def test_a_form_field_over_the_limit_is_413(client: FlaskClient) -> None:
    check(post(client, beam_size="1" * 200_000), 413, "ImageTooLarge", "at most")


@pytest.mark.parametrize("content", [b"\r\n", b"\r\n--", b"\r", b"--b"])
def test_no_content_is_taken_for_too_large(
    client: FlaskClient, torchserve: FakeTorchServe, content: bytes
) -> None:
    # The parser keeps what may begin a boundary, and counts that too.
    picture = content * (1_000_000 // len(content))
    assert post(client, picture).status_code == 200
    assert torchserve.predictions()[0].body == picture


def test_torchserves_own_413_is_worded_by_us(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.reply(413)
    check(post(client), 413, "ImageTooLarge", "at most 2 MB")


@pytest.mark.parametrize(
    ("status", "type_"),
    [(503, "ServiceUnavailableException"), (404, "ModelNotFoundException")],
)
def test_no_worker_or_a_full_queue_is_503_with_retry_after(
    client: FlaskClient, torchserve: FakeTorchServe, status: int, type_: str
) -> None:
    torchserve.reply(status, {"code": status, "type": type_, "message": 'Model "x" /secret/path'})
    response = post(client)
    check(response, 503, "Busy", "Try again in a few seconds")
    assert response.headers["Retry-After"] == "3"
    assert "secret" not in response.text


def test_a_worker_that_dies_is_503_because_another_one_starts(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    died = {"code": 500, "type": "InternalServerException", "message": "Worker died."}
    torchserve.reply(500, died)
    response = post(client)
    check(response, 503, "Busy", "Try again in a few seconds")
    assert response.headers["Retry-After"] == "3"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"code": 500, "type": "InternalServerException", "message": "secret"}),
        (507, {"code": 507, "type": "OutOfMemory", "message": "CUDA secret"}),
        (400, {"code": 400, "type": "BadRequestException", "message": "secret"}),
        (415, b"secret text"),
        (415, {"code": 415, "type": "Two words", "message": "secret"}),
        (415, ["secret"]),
        (302, b""),
        (200, b"secret, not JSON"),
        (200, {"secret": 1}),
        (200, []),
        (200, b""),
    ],
)
def test_what_is_not_known_is_502_and_neutral(
    client: FlaskClient, torchserve: FakeTorchServe, status: int, body: object
) -> None:
    torchserve.reply(status, body)
    response = post(client)
    check(response, 502, "CaptioningFailed", "could not caption this picture")
    assert "secret" not in response.text


def test_torchserve_away_is_502(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    torchserve.stop()
    check(post(client), 502, "CaptioningAway", "cannot be reached")


def test_no_key_file_is_502(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    torchserve.key_file.unlink()
    response = post(client)
    check(response, 502, "CaptioningAway", "cannot be reached")
    assert "key_file" not in response.text


def test_too_slow_is_504_and_not_repeated(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe
) -> None:
    torchserve.reply(200, ANSWER, wait=1)
    started = time.monotonic()
    check(post(make_app(TIMEOUT_S=0.2).test_client()), 504, "TooSlow", "took too long")
    assert time.monotonic() - started < 0.9
    assert len(torchserve.predictions()) == 1


def test_a_failed_prediction_is_not_repeated(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.reply(500)
    torchserve.reply(503)
    assert [post(client).status_code for _ in range(3)] == [502, 503, 200]
    assert len(torchserve.predictions()) == 3


def test_a_refused_key_is_renewed_and_the_picture_sent_once_more(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    assert post(client).status_code == 200
    torchserve.keys["inference"] = "changed without a word in the file"
    assert post(client).status_code == 200
    assert len(torchserve.key_requests()) == 1
    assert [seen.body for seen in torchserve.predictions()] == [PICTURE] * 3


def test_a_restarted_torchserves_keys_are_read(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    assert post(client).status_code == 200
    torchserve.new_key("inference")
    assert post(client).status_code == 200
    assert torchserve.key_requests() == []


def test_a_key_at_the_end_of_its_life_is_renewed_before_it_is_sent(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.expires["inference"] -= timedelta(hours=2)
    torchserve.write_keys()
    assert post(client).status_code == 200
    assert len(torchserve.key_requests()) == 1
    assert len(torchserve.predictions()) == 1


def test_a_key_that_stays_refused_is_502_after_one_repetition(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    refusal = {"code": 400, "type": "InvalidKeyException", "message": "Token Authorization failed"}
    torchserve.reply(400, refusal)
    torchserve.reply(400, refusal)
    check(post(client), 502, "CaptioningAway", "did not accept this page's key")
    assert len(torchserve.predictions()) == 2


def test_a_renewal_that_is_refused_is_502(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    torchserve.keys["inference"] = "another"
    torchserve.renew = False
    check(post(client), 502, "CaptioningAway", "cannot be reached")


def test_an_address_that_is_not_there_is_404(client: FlaskClient) -> None:
    check(client.get("/api/nothing"), 404, "NotFound", "nothing at this address")


def test_another_method_is_405(client: FlaskClient) -> None:
    response = client.get("/api/captions")
    check(response, 405, "MethodNotAllowed", "POST /api/captions")
    assert "POST" in response.headers["Allow"]


def test_a_bug_is_500_without_its_trace(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(app.extensions["torchserve"], "caption", broken)
    response = post(app.test_client())
    check(response, 500, "InternalError", "Something went wrong")
    assert "secret" not in response.text


def test_too_many_uploads_are_429_with_retry_after(make_app: Callable[..., Flask]) -> None:
    client = make_app(RATE_LIMIT="2 per minute").test_client()
    assert [post(client).status_code for _ in range(2)] == [200, 200]
    response = post(client)
    check(response, 429, "TooManyRequests", "Wait")
    assert 1 <= int(response.headers["Retry-After"]) <= 61
    assert client.get("/").status_code == 200
