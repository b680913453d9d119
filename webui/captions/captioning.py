"""One caption: the version that makes it, and the default where that one cannot."""

from __future__ import annotations

import random
import time

from flask import Flask, has_request_context, request, session

from webui.captions.canary import Canary
from webui.captions.uploads import Upload
from webui.torchserve.answer import Inference
from webui.torchserve.client import TorchServe
from webui.torchserve.errors import TorchServeError
from webui.web.extensions import service
from webui.web.problem import ServiceError

DRAWN_ON = ("page.show", "page.compare", "versions.show")  # pages that begin a session


def caption_upload(upload: Upload, *, explain: bool = False) -> Inference:
    """Caption with the requested version, else with the default or the canary.

    A caption that the canary cannot make is made by the default. Raises TorchServeError.
    """
    chosen = upload.version or _draw_version()
    try:
        return _infer(upload, chosen, explain=explain)
    except TorchServeError as error:
        if upload.version or chosen is None or error.code not in (404, 503):
            raise
    return _infer(upload, None, explain=explain)


def _infer(upload: Upload, version: str | None, *, explain: bool) -> Inference:
    """Ask this version, None for the default, and count the outcome."""
    canary = service(Canary)
    started = time.perf_counter()
    try:
        inference = service(TorchServe).predict(
            upload.picture, upload.options, version, explain=explain
        )
    except ServiceError as error:
        canary.count_error(version, error.code)
        raise
    made_by = version or str(inference.answer["model"]["version"])
    canary.count(made_by, time.perf_counter() - started)
    return inference


def _draw_version() -> str | None:
    """The version for this request's caption; None for the default.

    A visitor of the pages keeps to one version: the session's number decides. Programs have no
    session, and a number is drawn for each request.
    """
    drawn = session.get("draw") if has_request_context() else None
    if not isinstance(drawn, float):
        drawn = random.random()  # nosec B311 # drawn, not secret
    return service(Canary).choose(drawn)


def init_app(app: Flask) -> None:
    """Draw a number for every session that a page begins."""
    app.before_request(_draw)


def _draw() -> None:
    if request.endpoint in DRAWN_ON and "draw" not in session:
        session["draw"] = random.random()  # nosec B311 # drawn, not secret
