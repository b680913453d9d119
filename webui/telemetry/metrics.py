"""Prometheus metrics of the web application."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

bp = Blueprint("metrics", __name__)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
# Close together where captions lie, so that percentiles can be read from them.
SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30)


class Metrics:
    """One application's counters; a registry of its own lets several live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry, buckets=SECONDS)
        self.requests = counter(
            "captionize_web_requests", "Requests answered.", ["route", "method", "status"]
        )
        self.seconds = histogram(
            "captionize_web_request_seconds", "Time from a request's head to its answer.", ["route"]
        )
        self.caption_seconds = histogram(
            "captionize_caption_seconds", "Time that a version took for a caption.", ["version"]
        )
        self.captions = counter(
            "captionize_captions",
            "Captions requested of a version: captioned, refused (the picture's fault) or failed.",
            ["version", "outcome"],
        )
        self.votes = counter(
            "captionize_votes",
            "Votes on a version beside another: won, lost or tied.",
            ["version", "outcome"],
        )
        self.keys = counter(
            "captionize_key_requests",
            "Requests by key: answered, refused (the request's fault) or failed.",
            ["key", "outcome"],
        )
        # What TorchServe's management address told last; no series while it does not answer.
        self.ready = self._gauge("ready_workers", "READY workers of a version.")
        self.waiting = self._gauge("queue_waiting", "Requests that wait for a worker.")
        self.places = self._gauge("queue_places", "Requests that may wait at most.")
        self.memory = self._gauge("worker_memory_bytes", "Memory of the workers, where known.")
        ProcessCollector(registry=self.registry)  # memory, processor time, start of this process

    def _gauge(self, name: str, text: str) -> Gauge:
        """A gauge by version, of which one is the default."""
        return Gauge(f"captionize_{name}", text, ["version", "default"], registry=self.registry)

    def serving(self, versions: Iterable[Any]) -> None:
        """Take over what TorchServe serves: the `Version`s of webui.torchserve.management."""
        for gauge in (self.ready, self.waiting, self.places, self.memory):
            gauge.clear()
        for one in versions:
            labels = one.version, str(one.default).lower()
            self.ready.labels(*labels).set(one.ready)
            self.waiting.labels(*labels).set(one.queue_pending)
            self.places.labels(*labels).set(one.queue_pending + one.queue_remaining)
            if memory := sum(worker.memory_bytes or 0 for worker in one.workers):
                self.memory.labels(*labels).set(memory)


@bp.get("/metrics")
def metrics() -> Response:
    """Everything counted so far, in Prometheus's text format."""
    counted: Metrics = current_app.extensions["metrics"]
    return Response(generate_latest(counted.registry), content_type=CONTENT_TYPE_LATEST)


def init_app(app: Flask) -> None:
    """Count every request from here on, in the Metrics that the application has."""
    app.before_request(_start)
    app.after_request(_count)


def _start() -> None:
    g.started = time.perf_counter()


def _count(response: Response) -> Response:
    counted: Metrics = current_app.extensions["metrics"]
    counted.requests.labels(route(), method(), response.status_code).inc()
    counted.seconds.labels(route()).observe(time.perf_counter() - g.started)
    return response


def method() -> str:
    """The current request's method; those that a client makes up are one."""
    return request.method if request.method in METHODS else "other"


def route() -> str:
    """The current request's rule, not its path: random addresses must not make new series."""
    return request.url_rule.rule if request.url_rule else "unmatched"
