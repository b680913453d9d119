"""Spans of requests by OpenTelemetry, where OTEL_TRACES_EXPORTER=otlp asks for them.

Off by default: then nothing of OpenTelemetry is imported, and nothing recorded. Where the spans go
is said by its own variables (OTEL_EXPORTER_OTLP_ENDPOINT and so on). A request's span continues
the trace of its header `traceparent` (W3C Trace Context), or begins one; below it are

    queue    from the time in X-Request-Start, which the page sends, to the batch's begin
    decode   the request's own picture
    model    the batch's
    encode   the batch's
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from handler.errors import RequestError
from handler.request import asks_for, request_id

VARIABLE = "OTEL_TRACES_EXPORTER"
LONGEST_NS = 3600 * 10**9  # a queue of longer than this is a clock that is wrong
Decode = Callable[[Any, Mapping[str, str]], Any]  # fields and headers

logger = logging.getLogger(__name__)


class Batch:
    """A batch of which nothing is recorded."""

    def each(self, name: str, call: Decode) -> Decode:
        """`call`, with a span in the request whose headers it is given."""
        return call

    def step(self, name: str) -> AbstractContextManager[None]:
        """A span in every request, of what is done for all at once."""
        return nullcontext()

    def end(self, outcomes: Sequence[dict[str, Any] | RequestError]) -> None:
        """The answers are made: `outcomes`, in the requests' order."""


class TracedBatch(Batch):
    """A batch whose requests have spans. Descriptions, which are no captions, have none."""

    def __init__(self, tracer: Any, headers: Sequence[Mapping[str, str]]) -> None:
        """Begin the spans; `tracer` is OpenTelemetry's."""
        self.tracer, self.headers, self.began = tracer, headers, time.time_ns()
        self.spans = {id(one): self._begin(one) for one in headers if not asks_for("describe", one)}

    def each(self, name: str, call: Decode) -> Decode:
        def timed(fields: Any, headers: Mapping[str, str]) -> Any:
            began = time.time_ns()
            try:
                return call(fields, headers)
            finally:
                if span := self.spans.get(id(headers)):
                    self._add(name, span, began)

        return timed

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.time_ns()
        yield
        ended = time.time_ns()
        for span in self.spans.values():
            self._add(name, span, began, ended)

    def end(self, outcomes: Sequence[dict[str, Any] | RequestError]) -> None:
        from opentelemetry.trace import StatusCode

        for headers, outcome in zip(self.headers, outcomes, strict=True):
            if span := self.spans.get(id(headers)):
                if isinstance(outcome, RequestError):
                    span.set_attribute("error.type", outcome.type)
                    if outcome.code >= 500:
                        span.set_status(StatusCode.ERROR)
                span.end()

    def _begin(self, headers: Mapping[str, str]) -> Any:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(headers)
        sent = sent_ns(headers, self.began)
        about = {
            "captionize.batch_size": len(self.headers),
            "captionize.request_id": request_id(headers),
        }
        span = self.tracer.start_span(
            "caption", parent, SpanKind.SERVER, about, start_time=sent or self.began
        )
        if sent:
            self._add("queue", span, sent, self.began)
        return span

    def _add(self, name: str, parent: Any, began: int, ended: int | None = None) -> None:
        """A span that is over, by nanoseconds since the epoch."""
        from opentelemetry.trace import set_span_in_context

        span = self.tracer.start_span(name, set_span_in_context(parent), start_time=began)
        span.end(ended)


def sent_ns(headers: Mapping[str, str], now: int) -> int | None:
    """When the page sent a request, in nanoseconds since the epoch; None where it says nothing
    that can be true."""
    found = re.fullmatch(r"t=(\d{16})", headers.get("x-request-start", ""), re.ASCII)
    sent = 1000 * int(found[1]) if found else 0
    return sent if 0 <= now - sent <= LONGEST_NS else None


def start() -> Callable[[Sequence[Mapping[str, str]]], Batch]:
    """What makes a Batch of its requests' headers, as the environment asks for it."""
    if (wanted := os.environ.get(VARIABLE, "none")) in ("", "none"):
        return lambda headers: _UNTRACED
    if wanted != "otlp":
        logger.warning("No traces: expected otlp or none in %s, got %r", VARIABLE, wanted)
        return lambda headers: _UNTRACED
    try:
        tracer = _provider().get_tracer("captionize")
    except ImportError as error:
        logger.warning("No traces: %s asks for them, but %s. Install '.[tracing]'", VARIABLE, error)
        return lambda headers: _UNTRACED
    return lambda headers: TracedBatch(tracer, headers)


def _provider() -> Any:
    """OpenTelemetry's, which reads its OTEL_ variables itself."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "captionize-worker"}
    made = TracerProvider(resource=Resource.create(own))
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


_UNTRACED = Batch()
