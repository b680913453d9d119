"""The versions page, and what stands behind it."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Flask, Response, current_app, redirect, render_template, url_for

from webui.administrator import auth
from webui.administrator.audit import Audit
from webui.captions import captioning
from webui.captions.canary import Canary
from webui.torchserve.management import Known, Management
from webui.versions.archives import Store
from webui.versions.deployment import Deployment
from webui.versions.jobs import Jobs
from webui.web.settings import Settings
from webui.web.state import State

STATE_FILE = "versions.json"  # beside the audit log

bp = Blueprint("versions", __name__)


@bp.get("/versions")
def show() -> Response | str:
    """The page for the administrator; others are sent to the login, or told how to set one up."""
    settings: Settings = current_app.extensions["settings"]
    if not settings.admin_password_hash:
        return render_template("versions.html", off=True, by_token=bool(settings.admin_token))
    if not auth.signed_in():
        return redirect(url_for("auth.login_form"), 303)  # type: ignore[return-value]
    return render_template(
        "versions.html",
        off=False,
        max_archive_mb=settings.max_archive_mb,
        max_archive_bytes=settings.max_archive_bytes,
    )


def init_app(app: Flask) -> None:
    """Make what the page and its API share, over the client that the application has."""
    settings: Settings = app.extensions["settings"]
    audit_log = Path(settings.audit_log) if settings.audit_log else None
    state = State(audit_log.with_name(STATE_FILE) if audit_log else None)
    management = Management(app.extensions["torchserve"])
    known = Known(management, settings.model_name)
    own_canary = Canary(state, known, app.extensions["metrics"])
    app.extensions["known"] = known
    app.extensions["canary"] = own_canary
    app.extensions["audit"] = Audit(audit_log)
    app.extensions["deployment"] = Deployment(
        model_name=settings.model_name,
        management=management,
        known=known,
        store=Store(settings.model_store, settings.max_archive_bytes),
        jobs=Jobs(),
        audit=app.extensions["audit"],
        state=state,
        canary=own_canary,
        model_log=Path(settings.model_log) if settings.model_log else None,
    )
    auth.init_app(app)
    captioning.init_app(app)
