"""The API for programs."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify

from webui import captioning, served, uploads
from webui.extensions import csrf, upload_limit

bp = Blueprint("api", __name__, url_prefix="/api")

# These routes look at no cookie and no session: a forged request from another site could do
# nothing that its author could not do by himself, so there is nothing for a token to protect.
csrf.exempt(bp)


@bp.post("/captions")
@upload_limit
def create_caption() -> Response:
    """Caption the picture in the multipart field `image`; answers TorchServe's JSON."""
    return jsonify(captioning.answer_to(uploads.read()))


@bp.post("/explanations")
@upload_limit
def create_explanation() -> Response:
    """Caption the picture, and say for every word where in it the model looked."""
    return jsonify(captioning.answer_to(uploads.read(), explain=True))


@bp.get("/versions")
def list_versions() -> Response:
    """The versions of the model that can be asked for, and which is the default."""
    versions = served.current().versions()
    return jsonify(
        model=current_app.extensions["settings"].model_name,
        default=next((one.version for one in versions if one.default), None),
        versions=[one._asdict() for one in versions],
    )
