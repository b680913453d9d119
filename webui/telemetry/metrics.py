"""Prometheus metrics of the web application."""

from __future__ import annotations

import time

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

bp = Blueprint("metrics", __name__)

# Close together where captions lie, so that percentiles can be read from them.
SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30)


class Metrics:
    """One application's counters; a registry of its own lets several live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "captionize_web_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "captionize_web_request_seconds",
            "Time from the request's head to its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.caption_seconds = Histogram(
            "captionize_caption_seconds",
            "Time that a version took for a caption.",
            ["version"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.captions = Counter(
            "captionize_captions",
            "Captions asked of a version: captioned, refused (the picture's fault) or failed.",
            ["version", "outcome"],
            registry=self.registry,
        )
        self.votes = Counter(
            "captionize_votes",
            "Votes on a version beside another: won, lost or tied.",
            ["version", "outcome"],
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)  # memory, processor time, start of this process


@bp.get("/metrics")
def metrics() -> Response:
    """Everything counted so far, in Prometheus's text format."""
    counted: Metrics = current_app.extensions["metrics"]
    return Response(generate_latest(counted.registry), content_type=CONTENT_TYPE_LATEST)


def init_app(app: Flask) -> None:
    """Count every request from here on."""
    app.extensions["metrics"] = Metrics()
    app.before_request(_start)
    app.after_request(_count)


def _start() -> None:
    g.started = time.perf_counter()


def _count(response: Response) -> Response:
    counted: Metrics = current_app.extensions["metrics"]
    counted.requests.labels(route(), request.method, response.status_code).inc()
    counted.seconds.labels(route()).observe(time.perf_counter() - g.started)
    return response


def route() -> str:
    """The current request's rule, not its path: random addresses must not make new series."""
    return request.url_rule.rule if request.url_rule else "unmatched"
