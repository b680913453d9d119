"""The page's spans, kept in memory by OpenTelemetry's own exporter."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.webui.fake_torchserve import FakeTorchServe
from webui.telemetry import tracing

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Traced:
    """An application that is traced, and its spans."""

    def __init__(self, app: Flask, exporter: InMemorySpanExporter) -> None:
        self.app, self.exporter = app, exporter

    def caption(self, **headers: str) -> Any:
        data = {"image": (io.BytesIO(b"a secret picture"), "secret-name.jpg")}
        return self.app.test_client().post("/api/captions", data=data, headers=headers)

    def spans(self) -> list[ReadableSpan]:
        assert self.app.extensions["tracing"].force_flush()
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def traced(make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> Any:
    exporter = InMemorySpanExporter()
    monkeypatch.setenv(tracing.VARIABLE, "otlp")
    monkeypatch.setattr(tracing, "make_exporter", lambda: exporter)
    app = make_app()
    yield Traced(app, exporter)
    app.extensions["tracing"].shutdown()


def test_a_trace_is_continued_and_passed_on(traced: Traced, torchserve: FakeTorchServe) -> None:
    before = time.time_ns() // 1000
    answer = traced.caption(traceparent=TRACEPARENT, tracestate="vendor=1", **{"X-Request-ID": "a"})
    assert answer.status_code == 200
    (span,) = traced.spans()
    assert span.name == "POST /api/captions"
    assert span.kind is SpanKind.SERVER
    assert span.parent
    assert (span.context.trace_id, span.parent.span_id) == (int(TRACE, 16), int(PARENT, 16))
    assert span.resource.attributes["service.name"] == "captionize"
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/captions",
        "http.response.status_code": 200,
        "captionize.request_id": "a",
    }
    (sent,) = torchserve.predictions()
    assert sent.headers["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert sent.headers["tracestate"] == "vendor=1"
    started = re.fullmatch(r"t=(\d+)", sent.headers["X-Request-Start"])
    assert started
    assert before <= int(started[1]) <= time.time_ns() // 1000


def test_one_without_a_trace_begins_its_own(traced: Traced, torchserve: FakeTorchServe) -> None:
    traced.caption()
    traced.caption(traceparent="00-nonsense")
    first, second = traced.spans()
    assert first.parent is second.parent is None
    assert first.context.trace_id != second.context.trace_id
    sent = [seen.headers["traceparent"].split("-")[1] for seen in torchserve.predictions()]
    assert sent == [f"{one.context.trace_id:032x}" for one in (first, second)]


def test_a_trace_that_is_not_sampled_is_not_recorded(
    traced: Traced, torchserve: FakeTorchServe
) -> None:
    traced.caption(traceparent=f"00-{TRACE}-{PARENT}-00")
    assert traced.spans() == []
    assert torchserve.predictions()[0].headers["traceparent"].endswith("-00")


def test_failures_are_marked_and_refusals_are_not(
    traced: Traced, torchserve: FakeTorchServe
) -> None:
    torchserve.reply(503, {"code": 503, "type": "ServiceUnavailableException", "message": "full"})
    assert traced.caption().status_code == 503
    assert traced.app.test_client().post("/api/captions").status_code == 400
    failed, refused = traced.spans()
    assert failed.status.status_code is StatusCode.ERROR
    assert refused.status.status_code is StatusCode.UNSET


def test_addresses_and_health_leave_no_trace(traced: Traced) -> None:
    client = traced.app.test_client()
    for path in ("/healthz", "/metrics", "/secret-address"):
        client.get(path)
    (span,) = traced.spans()
    assert span.name == "GET unmatched"
    assert "secret" not in span.to_json()


def test_the_log_names_the_trace(traced: Traced, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "webui"):
        traced.caption(traceparent=TRACEPARENT)
    logged: list[dict[str, Any]] = [getattr(record, "fields", {}) for record in caplog.records]
    assert TRACE in [fields.get("trace_id") for fields in logged]


@pytest.mark.parametrize("value", ["", "none", "jaeger"])
def test_it_is_off_unless_asked_for(
    make_app: Callable[..., Flask],
    torchserve: FakeTorchServe,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    value: str,
) -> None:
    monkeypatch.setenv(tracing.VARIABLE, value)
    app = make_app()
    assert "tracing" not in app.extensions
    data = {"image": (io.BytesIO(b"a picture"), "a.jpg")}
    app.test_client().post("/api/captions", data=data, headers={"traceparent": TRACEPARENT})
    assert {"traceparent", "X-Request-Start"}.isdisjoint(torchserve.predictions()[0].headers)
    assert ("'jaeger'" in caplog.text) == (value == "jaeger")


def test_without_the_extra_it_says_so_and_serves(
    make_app: Callable[..., Flask],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(tracing.VARIABLE, "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert make_app().test_client().get("/healthz").status_code == 200
    assert "pip install '.[tracing]'" in caplog.text


def test_nothing_of_it_is_imported_when_it_is_off() -> None:
    script = (
        "import sys, webui; app = webui.create_app(); app.test_client().get('/api/docs');"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
