"""A worker's spans, kept in memory by OpenTelemetry's own exporter."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from handler import tracing
from handler.caption_handler import CaptionHandler
from tests.handler.conftest import FAILING_LENGTH

Request = tuple[dict[str, Any], dict[str, str]]
Ask = Callable[[Sequence[Request]], list[tuple[int, Any]]]
Draw = Callable[..., bytes]

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STEPS = {"decode", "model", "encode"}


@pytest.fixture
def spans(
    handler: CaptionHandler, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], list[ReadableSpan]]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traced = partial(tracing.TracedBatch, provider.get_tracer("test"))
    monkeypatch.setattr(handler, "trace", traced)
    yield lambda: list(exporter.get_finished_spans())
    provider.shutdown()


def children(spans: Sequence[ReadableSpan], parent: ReadableSpan) -> dict[str, ReadableSpan]:
    found = [one for one in spans if one.parent and one.parent.span_id == parent.context.span_id]
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


def test_every_request_of_a_batch_continues_its_own_trace(
    ask: Ask, draw: Draw, spans: Callable[[], list[ReadableSpan]]
) -> None:
    sent = time.time_ns() // 1000 * 1000 - 250_000_000
    headers = {
        "TraceParent": f"00-{TRACE}-{PARENT}-01",
        "X-Request-Start": f"t={sent // 1000}",
        "X-Request-ID": "mine",
    }
    assert [
        code for code, _ in ask([({"data": draw("red")}, headers), ({"data": draw("blue")}, {})])
    ] == [200] * 2
    made = spans()
    mine, other = [one for one in made if one.name == "caption"]
    assert mine.kind is SpanKind.SERVER
    assert mine.parent
    assert (mine.context.trace_id, mine.parent.span_id) == (int(TRACE, 16), int(PARENT, 16))
    assert mine.attributes == {"captionize.batch_size": 2, "captionize.request_id": "mine"}
    assert other.parent is None
    assert other.context.trace_id != mine.context.trace_id
    steps = children(made, mine)
    assert steps.keys() == STEPS | {"queue"}
    assert children(made, other).keys() == STEPS
    assert {one.context.trace_id for one in steps.values()} == {int(TRACE, 16)}
    queue, decode, model, encode = (steps[n] for n in ("queue", "decode", "model", "encode"))
    assert mine.start_time == queue.start_time == sent
    moments = [queue.end_time, decode.start_time, decode.end_time, model.start_time]
    moments += [model.end_time, encode.start_time, encode.end_time, mine.end_time]
    assert moments == sorted(moments)


def test_refusals_and_failures_are_told_apart(
    ask: Ask, draw: Draw, spans: Callable[[], list[ReadableSpan]]
) -> None:
    failing = {"data": draw("red"), "max_length": str(FAILING_LENGTH)}
    codes = [code for code, _ in ask([({"data": b"none"}, {}), (failing, {})])]
    assert codes == [415, 500]
    refused, failed = [one for one in spans() if one.name == "caption"]
    assert refused.attributes
    assert failed.attributes
    assert refused.attributes["error.type"] == "UnsupportedImage"
    assert refused.status.status_code is StatusCode.UNSET
    assert failed.attributes["error.type"] == "CaptioningFailed"
    assert failed.status.status_code is StatusCode.ERROR


def test_a_trace_that_is_not_sampled_and_a_description_leave_nothing(
    ask: Ask, draw: Draw, spans: Callable[[], list[ReadableSpan]]
) -> None:
    unsampled = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    ask([({"data": draw("red")}, unsampled), ({}, {"describe": "True"})])
    assert spans() == []


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=",
        "now",
        "t=0000000000000000",
        "t=9999999999999999",
        "t=１２３４５６７８９０１２３４５６",
    ],
)
def test_a_start_that_cannot_be_true_is_no_queue(header: str) -> None:
    assert tracing.sent_ns({"x-request-start": header}, time.time_ns()) is None


@pytest.mark.parametrize("value", [None, "", "none", "jaeger"])
def test_it_is_off_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str | None
) -> None:
    monkeypatch.delenv(tracing.VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(tracing.VARIABLE, value)
    batch = tracing.start()([{"traceparent": f"00-{TRACE}-{PARENT}-01"}])
    assert type(batch) is tracing.Batch
    assert batch.each("decode", children) is children  # type: ignore[arg-type, comparison-overlap]
    assert ("'jaeger'" in caplog.text) == (value == "jaeger")


def test_asked_for_it_is_on_and_without_the_packages_it_warns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(tracing.VARIABLE, "otlp")
    provider = TracerProvider()
    monkeypatch.setattr(tracing, "_provider", lambda: provider)
    assert type(tracing.start()([])) is tracing.TracedBatch
    monkeypatch.undo()
    monkeypatch.setenv(tracing.VARIABLE, "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert type(tracing.start()([])) is tracing.Batch
    assert "Install '.[tracing]'" in caplog.text
