"""The page, and its form for browsers without JavaScript."""

from __future__ import annotations

from flask import Blueprint, Flask, current_app, render_template

from webui import answer, canary, errors, uploads
from webui.extensions import upload_limit
from webui.settings import Settings

bp = Blueprint("page", __name__)

PAGES = (  # endpoint and name of what the head of every page links to
    ("page.show", "Captions"),
    ("compare.show", "Compare"),
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
    result = canary.caption(upload)
    return render_template(
        "page.html",
        answer=result,
        picture=answer.data_url(upload.picture, result),
        chosen=upload.options,
    )


def init_app(app: Flask) -> None:
    """Give the templates what they show."""
    app.add_template_filter(answer.pieces)
    app.add_template_filter(answer.doubt)
    app.add_template_filter(answer.percent)
    app.add_template_filter(answer.unsure)
    app.context_processor(_common)


def _common() -> dict[str, object]:
    settings: Settings = current_app.extensions["settings"]
    return {
        "pages": PAGES,
        "max_upload_mb": settings.max_upload_mb,
        "max_upload_bytes": settings.max_upload_bytes,
        "titles": {str(code): title for code, title in errors.TITLES.items()},
        "other_title": errors.OTHER_TITLE,
    }
