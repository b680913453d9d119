"""The page on which people compare two versions of the model."""

from __future__ import annotations

from flask import Blueprint, render_template

bp = Blueprint("compare", __name__)


@bp.get("/compare")
def show() -> str:
    """The page; its script asks for the versions and has the pictures captioned."""
    return render_template("compare.html")
