"""The request's id: on every answer, on every call of TorchServe, in every line of the log."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.fake_torchserve import FakeTorchServe
from webui.telemetry import logs, requestid

NEW = re.compile(r"[0-9a-f]{32}")


def upload() -> dict[str, Any]:
    return {"image": (io.BytesIO(b"a secret picture"), "secret-name.jpg")}


class Lines(logging.Handler):
    """The lines that a formatter makes of what is logged."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def lines() -> Any:
    """What the application logs, as JSON."""
    handler = Lines(logs.JsonFormatter())
    logger = logging.getLogger("webui")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize("path", ["/", "/nothing", "/healthz", "/api/nothing", "/static/logo.svg"])
def test_every_answer_has_an_id(client: FlaskClient, path: str) -> None:
    with client.get(path) as first, client.get(path) as second:
        ids = [answer.headers["X-Request-ID"] for answer in (first, second)]
    assert all(NEW.fullmatch(one) for one in ids)
    assert ids[0] != ids[1]


@pytest.mark.parametrize("given", ["a", "holiday-17_b.c", "9" * 64])
def test_the_clients_own_id_is_taken(client: FlaskClient, given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "9" * 65, 'a"b', "<b>", "é", "a/token", "a\tb"])
def test_another_id_is_replaced(client: FlaskClient, given: str) -> None:
    response = client.get("/healthz", headers={"X-Request-ID": given})
    assert NEW.fullmatch(response.headers["X-Request-ID"])


def test_a_refused_host_name_has_an_id_too(client: FlaskClient) -> None:
    headers = {"Host": "evil.example", "X-Request-ID": "abc"}
    assert client.get("/", headers=headers).headers["X-Request-ID"] == "abc"


def test_torchserve_gets_it_with_every_call_and_its_own_does_not_come_out(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.request_id = "the-id-of-torchserve"
    headers = {"X-Request-ID": "mine-1"}
    response = client.post("/api/captions", data=upload(), headers=headers)
    assert response.status_code == 200
    assert response.headers.getlist("X-Request-ID") == ["mine-1"]
    assert "the-id-of-torchserve" not in response.text
    assert client.get("/readyz", headers=headers).status_code == 200
    assert [seen.path for seen in torchserve.seen] == [
        "/predictions/captioner",
        "/models/captioner",
        "/ping",
    ]
    assert {seen.headers["X-Request-ID"] for seen in torchserve.seen} == {"mine-1"}


def test_outside_of_a_request_there_is_none() -> None:
    assert requestid.current() is None
    assert requestid.headers() == {}


def test_a_request_is_one_line_without_who_and_what(
    client: FlaskClient, torchserve: FakeTorchServe, lines: Lines
) -> None:
    torchserve.request_id = "theirs"
    client.post("/api/captions?secret=1", data=upload(), headers={"X-Request-ID": "mine-2"})
    [line] = lines.objects()
    milliseconds = line.pop("milliseconds")
    assert 0 < milliseconds < 60_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "webui.telemetry.logs",
        "message": "POST /api/captions",
        "request_id": "mine-2",
        "method": "POST",
        "route": "/api/captions",
        "status": 200,
        "torchserve_request_id": "theirs",
    }
    for secret in ("secret", "127.0.0.1", "brown dog"):
        assert secret not in lines.lines[0]


def test_an_address_that_is_not_there_is_logged_without_its_name(
    client: FlaskClient, lines: Lines
) -> None:
    client.get("/secret/../etc")
    [line] = lines.objects()
    assert (line["route"], line["status"]) == ("unmatched", 404)
    assert "secret" not in lines.lines[0]


def test_what_machines_ask_all_the_time_is_not_logged(
    administrator: FlaskClient, torchserve: FakeTorchServe, lines: Lines
) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/api/operations", "/static/logo.svg"):
        administrator.get(path).close()
    torchserve.worker_states = []
    assert administrator.get("/readyz").status_code == 503
    assert [line for line in lines.objects() if line["logger"] == "webui.telemetry.logs"] == []
    administrator.get("/static/nothing.css")
    assert lines.objects()[-1]["status"] == 404


def test_an_unexpected_error_is_logged_with_its_trace_and_its_id(
    make_app: Callable[..., Flask], lines: Lines
) -> None:
    app = make_app(PROPAGATE_EXCEPTIONS=False)
    app.add_url_rule("/broken", view_func=lambda: 1 / 0)
    response = app.test_client().get("/broken", headers={"X-Request-ID": "mine-3"})
    assert response.status_code == 500
    assert "ZeroDivisionError" not in response.text
    failed, request = lines.objects()
    assert (failed["level"], failed["request_id"], request["status"]) == ("error", "mine-3", 500)
    assert "ZeroDivisionError" in failed["exception"]


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.TextFormatter()])
def test_a_line_of_either_form_says_everything(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("the reason")
    except ValueError:
        trace = sys.exc_info()
    record = logging.LogRecord("webui.x", logging.ERROR, "", 1, "It is %s.\n", ("bad",), trace)
    record.created = 0.5
    record.fields = {"status": 500}
    line = formatter.format(record)
    for part in ("1970-01-01T00:00:00.500Z", "webui.x", "It is bad.", "500", "the reason"):
        assert part in line
    if isinstance(formatter, logs.JsonFormatter):
        assert "\n" not in line


def test_a_wrong_form_is_named(make_app: Callable[..., Flask]) -> None:
    with pytest.raises(ValueError, match="CAPTIONIZE_LOG_FORMAT: expected json or text, got 'xml'"):
        make_app(LOG_FORMAT="xml")
