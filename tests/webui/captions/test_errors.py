"""POST /api/captions: every error of the table."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.administration import check
from tests.webui.captions.uploading import PICTURE, post
from tests.webui.fake_torchserve import ANSWER, FakeTorchServe


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "InvalidOption"),
        (413, "ImageTooLarge"),
        (415, "UnsupportedImage"),
        (422, "CorruptImage"),
        (503, "DecodingStopped"),
    ],
)
def test_the_handlers_errors_pass_through(
    client: FlaskClient, torchserve: FakeTorchServe, status: int, type_: str
) -> None:
    torchserve.reply(status, {"code": status, "type": type_, "message": "In its own words."})
    check(post(client), status, type_, "In its own words.")
    assert len(torchserve.predictions()) == 1, "sent again, it would only be refused again"


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


def die(torchserve: FakeTorchServe, times: int, status: int = 500) -> None:
    """Have the worker die under the next pictures."""
    for _ in range(times):
        body = {"code": status, "type": "InternalServerException", "message": "Worker died."}
        torchserve.reply(status, body)


@pytest.mark.parametrize("status", [500, 507])
@pytest.mark.parametrize("to", ["captions", "explanations"])
def test_a_picture_under_which_a_worker_dies_is_sent_again(
    client: FlaskClient, torchserve: FakeTorchServe, status: int, to: str
) -> None:
    die(torchserve, 2, status)
    assert post(client, to=to, beam_size="2").status_code == 200
    first, *others = torchserve.predictions()
    assert [(one.body, one.headers["X-Beam-Size"]) for one in others] == [(first.body, "2")] * 2


def test_a_picture_under_which_workers_die_again_and_again_is_given_up(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    die(torchserve, 3)
    response = post(client)
    check(response, 503, "Busy", "Try again in a few seconds")
    assert response.headers["Retry-After"] == "3"
    assert len(torchserve.predictions()) == 3


def test_when_the_time_is_over_it_is_not_sent_again(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe
) -> None:
    die(torchserve, 1)
    check(post(make_app(TIMEOUT_S=0.9).test_client()), 503, "Busy", "Try again")
    assert len(torchserve.predictions()) == 1


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


def test_a_start_that_takes_too_long_is_503(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe
) -> None:
    torchserve.reply(200, ANSWER, wait=1)
    torchserve.worker_states = ["UNLOADING"]
    response = post(make_app(TIMEOUT_S=0.2).test_client())
    check(response, 503, "Busy", "Try again in a few seconds")
    assert response.headers["Retry-After"] == "3"


def test_where_nobody_was_answered_meanwhile_it_is_503(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe
) -> None:
    client = make_app(TIMEOUT_S=0.2).test_client()
    assert post(client).status_code == 200
    torchserve.reply(200, ANSWER, wait=1)
    check(post(client), 503, "Busy", "Try again in a few seconds")


def test_where_the_worker_died_before_it_is_503(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe
) -> None:
    die(torchserve, 1, 507)
    torchserve.reply(200, ANSWER, wait=3)
    check(post(make_app(TIMEOUT_S=1.5).test_client()), 503, "Busy", "Try again in a few seconds")


def test_a_failed_prediction_is_not_repeated(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.reply(500)
    torchserve.reply(503)
    assert [post(client).status_code for _ in range(3)] == [502, 503, 200]
    assert len(torchserve.predictions()) == 3


def test_a_restarted_torchserves_keys_are_read(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    assert post(client).status_code == 200
    torchserve.new_key("inference")
    assert post(client).status_code == 200
    assert [seen.body for seen in torchserve.predictions()] == [PICTURE] * 2


def test_a_key_that_was_replaced_on_the_way_is_replaced_and_the_picture_sent_once_more(
    client: FlaskClient, torchserve: FakeTorchServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = iter(["of the TorchServe before", torchserve.keys["inference"]])
    monkeypatch.setattr("webui.torchserve.client.read_key", lambda *_: next(keys))
    assert post(client).status_code == 200
    assert [seen.body for seen in torchserve.predictions()] == [PICTURE] * 2


def test_a_key_that_is_still_in_the_file_is_not_tried_again(
    client: FlaskClient, torchserve: FakeTorchServe, caplog: pytest.LogCaptureFixture
) -> None:
    torchserve.keys["inference"] = "another"
    check(post(client), 502, "CaptioningAway", "key")
    assert len(torchserve.predictions()) == 1
    assert "token_expiration_min" in caplog.text


def test_an_address_that_is_not_there_is_404(client: FlaskClient) -> None:
    check(client.get("/api/nothing"), 404, "NotFound", "not found")


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

    monkeypatch.setattr(app.extensions["torchserve"], "predict", broken)
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
