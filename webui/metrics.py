"""Prometheus metrics of the web application."""

from __future__ import annotations

import time

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

bp = Blueprint("metrics", __name__)

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


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
    # The rule, not the path: whoever asks for random addresses must not make new series.
    route = request.url_rule.rule if request.url_rule else "unmatched"
    counted.requests.labels(route, request.method, response.status_code).inc()
    counted.seconds.labels(route).observe(time.perf_counter() - g.started)
    return response
