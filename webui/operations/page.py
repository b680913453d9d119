"""The operations page, and the snapshot that it draws."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, render_template

from webui.administrator import auth
from webui.administrator.keys import Usage
from webui.operations.watch import Watch
from webui.web.extensions import service

bp = Blueprint("operations", __name__)


@bp.get("/operations")
def show() -> str:
    """The page; it holds no figure itself, so anybody may have it before the login."""
    return render_template("operations.html")


@bp.get("/api/operations")
def snapshot() -> Response:
    """How the service is, its figures of now and of the last hour, and what changed in it."""
    auth.required()
    return jsonify({**service(Watch).snapshot(), "keys": service(Usage).to_json()})
