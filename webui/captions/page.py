"""The page, its form for browsers without JavaScript, and the page that compares two versions."""

from __future__ import annotations

from flask import Blueprint, Flask, current_app, render_template

from webui.captions import captioning, shading, uploads
from webui.web import problem
from webui.web.extensions import upload_limit
from webui.web.settings import Settings

bp = Blueprint("page", __name__)

PAGES = (  # endpoint and name of what the head of every page links to
    ("page.show", "Captions"),
    ("page.compare", "Compare"),
    ("versions.show", "Versions"),
    ("operations.show", "Operations"),
    ("docs.show", "API"),
)


@bp.get("/")
def show() -> str:
    """The page before any picture."""
    return render_template("page.html")


@bp.post("/")
@upload_limit
def caption() -> str:
    """The page with the caption of the uploaded picture; the script uses the API instead."""
    upload = uploads.read()
    result = captioning.caption(upload)
    return render_template(
        "page.html",
        answer=result,
        picture=shading.data_url(upload.picture, result),
        chosen=upload.options,
    )


@bp.get("/compare")
def compare() -> str:
    """Two versions side by side; the page's script has the pictures captioned by both."""
    return render_template("compare.html")


def init_app(app: Flask) -> None:
    """Give the templates what they show."""
    app.add_template_filter(shading.pieces)
    app.add_template_filter(shading.doubt)
    app.add_template_filter(shading.percent)
    app.add_template_filter(shading.unsure)
    app.context_processor(_common)


def _common() -> dict[str, object]:
    settings: Settings = current_app.extensions["settings"]
    return {
        "pages": PAGES,
        "max_upload_mb": settings.max_upload_mb,
        "max_upload_bytes": settings.max_upload_bytes,
        "titles": {str(code): title for code, title in problem.TITLES.items()},
        "other_title": problem.OTHER_TITLE,
    }
