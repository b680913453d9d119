"""The API for programs."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from webui import canary, uploads
from webui.extensions import csrf, upload_limit

bp = Blueprint("api", __name__, url_prefix="/api")

# These routes look at no cookie, but for the number that keeps a visitor to one version: a forged
# request from another site could do nothing that its author could not do by himself, so there is
# nothing for a token to protect.
csrf.exempt(bp)


@bp.post("/captions")
@upload_limit
def create_caption() -> Response:
    """Caption the picture in the multipart field `image`; answers TorchServe's JSON."""
    upload = uploads.read()
    return jsonify(canary.caption(upload.picture, upload.options))
