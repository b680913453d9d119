"""The operations page, and the snapshot of both services' metrics that it draws."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, render_template
from prometheus_client import generate_latest

from webui.administrator import auth
from webui.operations import prometheus
from webui.telemetry.metrics import Metrics
from webui.torchserve.client import TorchServe
from webui.torchserve.management import Management
from webui.torchserve.refusals import ManagementError
from webui.web.problem import ServiceError

bp = Blueprint("operations", __name__)

log = logging.getLogger(__name__)

KEPT_S = 1.0  # how long what TorchServe told is told again, however many look at the page


class TorchServeView:
    """What TorchServe tells of itself, asked for at most once in KEPT_S by all who look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = -KEPT_S
        self._seen: dict[str, Any] = {}

    def seen(self) -> dict[str, Any]:
        """The members `torchserve`, `versions` (each null when not to be had) and `problems`."""
        with self._lock:
            if time.monotonic() - self._asked >= KEPT_S:
                self._seen = _ask()
                self._asked = time.monotonic()
            return self._seen


@bp.get("/operations")
def show() -> str:
    """The page; it holds no figure itself, so whoever it asks for a password may see it."""
    return render_template("operations.html")


@bp.get("/api/operations")
def snapshot() -> Response:
    """Every figure of now; what changed between two of them is for the reader to work out."""
    auth.required()
    counted: Metrics = current_app.extensions["metrics"]
    view: TorchServeView = current_app.extensions["torchserve_view"]
    samples = prometheus.read(generate_latest(counted.registry).decode())
    return jsonify(time=time.time(), web=prometheus.web(samples), **view.seen())


def _ask() -> dict[str, Any]:
    """Ask both addresses; one that is away leaves the other's figures."""
    problems: list[dict[str, str]] = []
    return {
        "torchserve": _or_problem(_metrics, "metrics", problems),
        "versions": _or_problem(_versions, "management", problems),
        "problems": problems,
    }


def _or_problem(ask: Any, source: str, problems: list[dict[str, str]]) -> Any:
    try:
        return ask(current_app.extensions["torchserve"])
    except ServiceError as error:
        problems.append({"source": source, "type": error.type, "message": error.message})
    except (KeyError, TypeError, ValueError) as error:
        log.error("TorchServe's %s answer is not understood: %r", source, error)
        message = "TorchServe gave an answer that is not understood. See the log."
        problems.append({"source": source, "type": "UnknownAnswer", "message": message})
    return None


def _metrics(client: TorchServe) -> dict[str, Any]:
    return prometheus.torchserve(prometheus.read(client.metrics()))


def _versions(client: TorchServe) -> list[dict[str, Any]]:
    """The versions of every model."""
    management = Management(client)
    found: list[dict[str, Any]] = []
    for model in management.models():
        try:
            versions = management.versions(model)
        except ManagementError as error:
            if error.code != 404:  # unregistered meanwhile
                raise
            continue
        found += [prometheus.snapshot(model, version) for version in versions]
    return found
