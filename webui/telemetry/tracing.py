"""Spans of the page's requests by OpenTelemetry, where OTEL_TRACES_EXPORTER=otlp asks for them.

Off by default: then nothing of OpenTelemetry is imported, and no hook added. A request continues
the trace of its `traceparent` (W3C Trace Context) or begins one, and sends it on to TorchServe, so
that the worker's spans come below. Spans name the route, never the address, and no client.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from flask import Flask, Response, g, has_request_context, request

from webui.telemetry import logs, metrics, requestid

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

VARIABLE = "OTEL_TRACES_EXPORTER"

log = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Give every request from here on a span, but for health and the page's own polling.

    A wish that cannot be fulfilled is logged: captions matter more than traces.
    """
    if (wanted := os.environ.get(VARIABLE, "none")) in ("", "none"):
        return
    if wanted != "otlp":
        log.warning("No traces: expected otlp or none in %s, got %r.", VARIABLE, wanted)
        return
    try:
        provider = make_provider(make_exporter())
    except ImportError as error:
        log.warning("No traces: %s. Install the extra: pip install '.[tracing]'", error)
        return
    app.extensions["tracing"] = provider
    tracing = Tracing(provider)
    app.before_request(tracing.begin)
    app.after_request(tracing.end)


def make_exporter() -> SpanExporter:
    """What sends spans by OTLP over HTTP, as OTEL_EXPORTER_OTLP_* say. Raises ImportError."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def make_provider(exporter: SpanExporter) -> TracerProvider:
    """What makes spans, as the other OTEL_* say. Raises ImportError."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "captionize"}
    made = TracerProvider(resource=Resource.create(own))
    made.add_span_processor(BatchSpanProcessor(exporter))
    return made


def headers() -> dict[str, str]:
    """What a call of TorchServe sends along: the request's id and, where it is traced, its span.

    X-Request-Start (microseconds since the epoch, as proxies write it) tells the worker how long a
    picture waited.
    """
    sent = requestid.headers()
    if has_request_context() and "span" in g:
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(sent, set_span_in_context(g.span))
        sent["X-Request-Start"] = f"t={time.time_ns() // 1000}"
    return sent


class Tracing:
    """Begins and ends the spans of an application's requests."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("captionize")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self) -> None:
        """Before a request."""
        from opentelemetry.trace import SpanKind

        if (route := metrics.route()) in logs.HEALTH | logs.QUIET:
            return
        given = {name.lower(): value for name, value in request.headers.items()}
        g.span = self._tracer.start_span(
            f"{metrics.method()} {route}",
            self._propagator.extract(given),
            SpanKind.SERVER,
            {
                "http.request.method": metrics.method(),
                "http.route": route,
                "captionize.request_id": requestid.current() or "",
            },
        )
        logs.note("trace_id", f"{g.span.get_span_context().trace_id:032x}")

    def end(self, response: Response) -> Response:
        """After it; what is still sent of the answer is not in the span."""
        from opentelemetry.trace import StatusCode

        if "span" in g:
            g.span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                g.span.set_status(StatusCode.ERROR)
            g.span.end()
        return response
