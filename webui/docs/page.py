"""The API's specification, and the page that shows it and tries it out."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from flask import Blueprint, Response, jsonify, render_template

FOLDER = Path(__file__).parent / "spec"
BASE = "base.yaml"  # info, security schemes, tags; the other files add paths and components

bp = Blueprint("docs", __name__, url_prefix="/api")


@bp.get("/openapi.json")
def openapi() -> Response:
    """The specification, for programs."""
    return jsonify(specification())


@bp.get("/docs")
def show() -> str:
    """The specification, for people."""
    return render_template("docs.html")


@cache
def specification() -> dict[str, Any]:
    """The whole document. It is shared: read it, do not change it.

    Raises ValueError when two files say the same thing.
    """
    whole = _load(FOLDER / BASE)
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name != BASE:
            _merge(whole, _load(path), path.name)
    return whole


def _load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _merge(whole: dict[str, Any], part: dict[str, Any], where: str) -> None:
    """Add the members of `part`, going down into objects that both have."""
    for name, value in part.items():
        if name not in whole:
            whole[name] = value
        elif isinstance(whole[name], dict) and isinstance(value, dict):
            _merge(whole[name], value, f"{where}: {name}")
        else:
            raise ValueError(f"{where}: {name} stands in another file already")
