"""One trace from a client's request to the worker, at a collector that takes OTLP over HTTP."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.client import COFFEE, TIMEOUT_S
from tests.e2e.conftest import Service, wait_for

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

pytestmark = pytest.mark.slow


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it is sent, each with its service's name."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans: list[tuple[str, Any]] = []

    def of(self, trace: str) -> list[tuple[str, Any]]:
        return [(service, one) for service, one in self.spans if one.trace_id.hex() == trace]


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {one.key: one.value.string_value for one in resource.resource.attributes}
            spans = [span for scope in resource.scope_spans for span in scope.spans]
            self.server.spans += [(names["service.name"], span) for span in spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    environ = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    running = Service(Path(tmp_path_factory.mktemp("traced"), "run"), environ).start()
    yield running
    running.stop()


def test_a_trace_reaches_from_the_client_to_the_worker(
    traced: Service, collector: Collector
) -> None:
    answer = requests.post(
        f"{traced.page_url}/api/captions",
        files={"image": COFFEE},
        headers={"traceparent": f"00-{TRACE}-{PARENT}-01"},
        timeout=TIMEOUT_S,
    )
    assert answer.status_code == 200
    wait_for(lambda: len(collector.of(TRACE)) >= 6, 15)
    found = {one.name: (service, one) for service, one in collector.of(TRACE)}
    assert found.keys() == {
        *("POST /api/captions", "caption", "queue", "decode", "model", "encode")
    }
    service, page = found["POST /api/captions"]
    worker_service, worker = found["caption"]
    assert (service, worker_service) == ("captionize", "captionize-worker")
    assert page.parent_span_id.hex() == PARENT
    assert worker.parent_span_id == page.span_id
    for name in ("queue", "decode", "model", "encode"):
        one = found[name][1]
        assert one.parent_span_id == worker.span_id
        assert page.start_time_unix_nano <= one.start_time_unix_nano
        assert one.start_time_unix_nano <= one.end_time_unix_nano <= page.end_time_unix_nano
