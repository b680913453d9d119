"""The versions page; its script does the rest over the administrator's API."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, url_for

from webui.administrator import auth
from webui.web.extensions import service
from webui.web.settings import Settings

bp = Blueprint("versions", __name__)


@bp.get("/versions")
def show() -> Response | str:
    """The page for the administrator; others go to the login page or see how to set one up."""
    settings = service(Settings)
    if not settings.admin_password_hash:
        return render_template("versions.html", off=True, by_token=bool(settings.admin_token))
    if not auth.logged_in():
        return redirect(url_for("auth.login_form"), 303)  # type: ignore[return-value]
    return render_template(
        "versions.html",
        off=False,
        max_archive_mb=settings.max_archive_mb,
        max_archive_bytes=settings.max_archive_bytes,
    )
