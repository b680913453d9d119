"""The API for programs."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from webui.administrator import keys
from webui.captions import captioning, inscribing, uploads
from webui.captions.canary import Canary
from webui.torchserve.answer import Inference
from webui.torchserve.management import Known
from webui.torchserve.refusals import ManagementError
from webui.web import bodies
from webui.web.extensions import csrf, service, upload_limit

bp = Blueprint("api", __name__, url_prefix="/api")

# These routes use neither a cookie nor a session: a forged request from another site could do
# nothing that its author could not do directly, so there is nothing for a token to protect.
csrf.exempt(bp)


@bp.before_request
def let_in() -> None:
    """Captions are for programs with a key, where there are keys, and for the page's visitors."""
    if request.endpoint != "api.list_versions":
        keys.required_of_programs()


@bp.post("/captions")
@upload_limit
def create_caption() -> Response:
    """Caption the picture in the multipart field `image`."""
    return _as_it_came(captioning.caption_upload(uploads.read()))


@bp.post("/explanations")
@upload_limit
def create_explanation() -> Response:
    """Caption the picture, with the part of it that each word looked at."""
    return _as_it_came(captioning.caption_upload(uploads.read(), explain=True))


def _as_it_came(inference: Inference) -> Response:
    """TorchServe's own bytes, checked but not rebuilt: members unknown to the check stay."""
    return Response(inference.body, mimetype="application/json")


@bp.post("/inscriptions")
@upload_limit
def inscribe() -> Response:
    """A ZIP of the pictures with their captions written into them."""
    return inscribing.answer()


@bp.get("/versions")
def list_versions() -> Response:
    """The versions of the page's model, for anybody who wants to choose one."""
    known = service(Known)
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
    service(Canary).vote(left, right, winner)  # type: ignore[arg-type]
    return "", 204
