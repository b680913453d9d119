"""One caption: the version that makes it, and the fallback where that one cannot."""

from __future__ import annotations

import random
import time

from flask import Flask, current_app, has_request_context, request, session

from webui.captions.canary import Canary
from webui.captions.uploads import Upload
from webui.torchserve.answer import Answer
from webui.torchserve.client import TorchServe, TorchServeError
from webui.web.problem import ServiceError

DRAWN_ON = ("page.show", "page.compare", "versions.show")  # pages that begin a session


def caption(upload: Upload, *, explain: bool = False) -> Answer:
    """Caption with the version that is asked for, else with the default or the canary.

    A caption that the canary cannot make is made by the default. Raises TorchServeError.
    """
    chosen = upload.version or choose_version()
    try:
        return _caption_by(upload, chosen, explain=explain)
    except TorchServeError as error:
        if upload.version or chosen is None or error.code not in (404, 503):
            raise
    return _caption_by(upload, None, explain=explain)


def _caption_by(upload: Upload, version: str | None, *, explain: bool) -> Answer:
    """Caption with this version, None for the default, and count what came of it."""
    canary = current()
    client: TorchServe = current_app.extensions["torchserve"]
    started = time.perf_counter()
    try:
        answer = client.caption(upload.picture, upload.options, version, explain=explain)
    except ServiceError as error:
        canary.count_error(version, error.code)
        raise
    canary.count(version or str(answer["model"]["version"]), time.perf_counter() - started)
    return answer


def choose_version() -> str | None:
    """The version for this request's caption; None for the default.

    Whoever came by a page keeps to one version: the session's number decides. Programs have no
    session, and are drawn for each request.
    """
    drawn = session.get("draw") if has_request_context() else None
    return current().choose(drawn if isinstance(drawn, float) else random.random())


def current() -> Canary:
    """The running application's canary."""
    canary: Canary = current_app.extensions["canary"]
    return canary


def init_app(app: Flask) -> None:
    """Draw a number for every session that a page begins."""
    app.before_request(_draw)


def _draw() -> None:
    if request.endpoint in DRAWN_ON and "draw" not in session:
        session["draw"] = random.random()
