"""Every error that leaves the web application: as JSON for programs, as a page elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, current_app, jsonify, render_template, request
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    SecurityError,
    TooManyRequests,
)

from webui.web.extensions import CSRFError, seconds_to_wait, service
from webui.web.problem import ServiceError, too_large
from webui.web.settings import Settings

log = logging.getLogger(__name__)

Shape = Callable[[ServiceError], Any]  # what an error looks like as JSON

OURS: dict[type[HTTPException], tuple[int, str, str]] = {  # code, type and message in our own words
    SecurityError: (
        400,
        "UntrustedHost",
        "This service does not answer to this host name. Its operator can add the name to "
        "CAPTIONIZE_TRUSTED_HOSTS.",
    ),
    CSRFError: (
        400,
        "FormExpired",
        "The page was open for too long, or cookies are off. Load it again and choose the picture "
        "once more.",
    ),
    NotFound: (404, "NotFound", "Page not found. Captionize starts at /."),
    MethodNotAllowed: (
        405,
        "MethodNotAllowed",
        "This address does not accept this method. Captions are made by POST /api/captions.",
    ),
}


def init_app(app: Flask) -> None:
    """Register the handlers; nothing that Flask or Werkzeug writes reaches a client."""
    app.extensions["shapes"] = {"/api": ServiceError.to_json}
    app.register_error_handler(ServiceError, _answer)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def shape(app: Flask, paths: Iterable[str], look: Shape) -> None:
    """Have errors at these paths, and at those under them, look like this."""
    app.extensions["shapes"] |= dict.fromkeys(paths, look)


def _shape() -> Shape | None:
    """The shape of the current path, the longest first; None where a page is answered."""
    shapes: dict[str, Shape] = current_app.extensions["shapes"]
    matching = [path for path in shapes if f"{request.path}/".startswith(f"{path}/")]
    return shapes[max(matching, key=len)] if matching else None


def _http_error(error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = _answer(_translated(error))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(error.valid_methods)
    return response


def _unexpected(error: Exception) -> Response:
    log.error("Unexpected error at %s %s", request.method, request.path, exc_info=error)
    message = "Something went wrong here. Try again; if it happens again, see the log."
    return _answer(ServiceError(message))


def _translated(error: HTTPException) -> ServiceError:
    """One of Werkzeug's errors in our own words."""
    if isinstance(error, RequestEntityTooLarge):
        return too_large(service(Settings).max_upload_bytes)
    if isinstance(error, TooManyRequests):
        wait = seconds_to_wait()
        return ServiceError(
            f"Too many pictures in a short time. Wait {wait} s and try again.",
            code=429,
            type="TooManyRequests",
            retry_after_s=wait,
        )
    other = (
        error.code or 500,
        error.name.replace(" ", ""),
        "The request could not be understood. Check its form.",
    )
    code, type_, message = OURS.get(type(error), other)
    return ServiceError(message, code=code, type=type_)


def _answer(error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    if look := _shape():
        response = jsonify(look(error))
    elif isinstance(request.routing_exception, SecurityError):
        # Under a host name that is not trusted no address can be built, so no page either.
        response = Response(error.message + "\n", mimetype="text/plain")
    else:
        template = "page.html" if request.path == "/" else "error.html"
        response = Response(render_template(template, error=error))
    response.status_code = error.code
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response
