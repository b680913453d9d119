"""Whether the process lives, and whether captions are available."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from webui.torchserve.client import TorchServe
from webui.torchserve.management import Management
from webui.torchserve.pulse import Pulse
from webui.web.extensions import service
from webui.web.problem import ServiceError
from webui.web.settings import Settings

bp = Blueprint("health", __name__)


@bp.get("/healthz")
@bp.get("/health")  # where clients of vLLM's server look
def healthz() -> Response:
    """200 while this process answers, whatever TorchServe does."""
    return jsonify(status="alive")


@bp.get("/readyz")
def readyz() -> tuple[Response, int]:
    """200 when a worker of the default version is READY, reachable and answers, else 503.

    TorchServe's /ping is Healthy while a model loads or its workers crash. So the workers' states
    decide; they come from the management address, and the inference address may be another
    machine's: of /ping it only counts that it answers and accepts our key.
    """
    try:
        workers = service(Management).default(service(Settings).model_name).ready
        if workers:
            service(TorchServe).check_reachable()
            service(Pulse).check()
    except ServiceError as error:
        reason, message = error.type, error.message
        return jsonify(status="not ready", workers=0, reason=reason, message=message), 503
    ready = workers > 0
    return jsonify(status="ready" if ready else "not ready", workers=workers), 200 if ready else 503
