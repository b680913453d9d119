"""The API for programs."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify

from webui.captions import captioning, uploads
from webui.captions.canary import Canary
from webui.torchserve.management import Known
from webui.torchserve.refusals import ManagementError
from webui.web import bodies
from webui.web.extensions import csrf, upload_limit

bp = Blueprint("api", __name__, url_prefix="/api")

# These routes look at no cookie and no session: a forged request from another site could do
# nothing that its author could not do by himself, so there is nothing for a token to protect.
csrf.exempt(bp)


@bp.post("/captions")
@upload_limit
def create_caption() -> Response:
    """Caption the picture in the multipart field `image`; answers TorchServe's JSON."""
    return jsonify(captioning.caption(uploads.read()))


@bp.post("/explanations")
@upload_limit
def create_explanation() -> Response:
    """Caption the picture, and say for every word where in it the model looked."""
    return jsonify(captioning.caption(uploads.read(), explain=True))


@bp.get("/versions")
def list_versions() -> Response:
    """The versions of the page's model, for who may choose one."""
    known: Known = current_app.extensions["known"]
    try:
        versions = known.versions()
    except ManagementError as error:
        if error.code != 404:
            raise
        versions = []  # the model is not registered yet
    return jsonify(
        model=known.model,
        default=next((one.version for one in versions if one.default), None),
        versions=[
            {"version": one.version, "default": one.default, "ready": one.ready > 0}
            for one in versions
        ],
    )


@bp.post("/votes")
@upload_limit
def vote() -> tuple[str, int]:
    """Count a vote on two versions of the page's model."""
    body = bodies.read("left", "right", "winner")
    left, right, winner = (bodies.text(body, name) for name in ("left", "right", "winner"))
    if winner not in ("left", "right", "tie"):
        raise bodies.BadBody(f"Expected left, right or tie for winner, got {winner[:50]!r}.")
    if left == right:
        raise bodies.BadBody(f"Expected two versions, got {left[:50]!r} twice.")
    canary: Canary = current_app.extensions["canary"]
    canary.vote(left, right, winner)  # type: ignore[arg-type]
    return "", 204
