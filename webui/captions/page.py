"""The page, its form for browsers without JavaScript, and the page that compares two versions."""

from __future__ import annotations

from flask import Blueprint, Flask, render_template

from webui.captions import captioning, shading, uploads
from webui.web import problem
from webui.web.extensions import upload_limit
from webui.web.settings import MEBIBYTE, Settings

bp = Blueprint("page", __name__)

# Endpoint and name of what the head of every page links to: for everybody, and for who manages.
PAGES = (("page.show", "Captions"), ("docs.show", "API"))
MANAGEMENT = (
    ("page.compare", "Compare"),
    ("versions.show", "Versions"),
    ("operations.show", "Operations"),
)


@bp.get("/")
def show() -> str:
    """The page before any picture."""
    return render_template("page.html")


@bp.post("/")
@upload_limit
def submit_form() -> str:
    """The page with the caption of the uploaded picture; the script uses the API instead."""
    upload = uploads.read()
    answer = captioning.caption_upload(upload).answer
    return render_template(
        "page.html",
        answer=answer,
        picture=shading.data_url(upload.picture, answer),
        chosen=upload.options,
    )


@bp.get("/compare")
def compare() -> str:
    """Two versions side by side; the page's script sends each picture to both."""
    return render_template("compare.html")


def init_app(app: Flask) -> None:
    """Give all templates what they show."""
    settings: Settings = app.extensions["settings"]
    for shade in (
        shading.pieces,
        shading.doubtful,
        shading.percent,
        shading.trust,
        shading.sentence,
    ):
        app.add_template_filter(shade)
    app.jinja_env.globals |= {
        "pages": PAGES,
        "management": MANAGEMENT,
        "marks": shading.MARKS,
        "meaning": shading.MEANING,
        "max_upload_mb": settings.max_upload_mb,
        "max_upload_bytes": settings.max_upload_bytes,
        "max_zip_bytes": int(settings.max_zip_mb * MEBIBYTE),
        "titles": {str(code): title for code, title in problem.TITLES.items()},
        "other_title": problem.OTHER_TITLE,
    }
