"""Whether the process lives, and whether a caption can be had."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify

from webui.torchserve.client import TorchServe
from webui.web.problem import ServiceError

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """200 while this process answers, whatever TorchServe does."""
    return jsonify(status="alive")


@bp.get("/readyz")
def readyz() -> tuple[Response, int]:
    """200 when a worker is READY and the inference address takes our key, else 503.

    TorchServe's /ping says Healthy while a model loads or its workers crash, so only whether it
    answers counts: the workers' states come from the management address, which may be another's.
    """
    client: TorchServe = current_app.extensions["torchserve"]
    try:
        workers = client.ready_workers()
        if workers:
            client.reachable()
    except ServiceError as error:
        return jsonify(status="not ready", workers=0, reason=error.type), 503
    ready = workers > 0
    return jsonify(status="ready" if ready else "not ready", workers=workers), 200 if ready else 503
