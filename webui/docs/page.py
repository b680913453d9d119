"""The API's specification, and the page that shows it and tries it out."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, render_template

from webui.docs.specification import specification

bp = Blueprint("docs", __name__, url_prefix="/api")


@bp.get("/openapi.json")
def openapi() -> Response:
    """The specification, for programs."""
    return jsonify(specification())


@bp.get("/docs")
def show() -> str:
    """The specification, for people."""
    return render_template("docs.html")
