"""Uploads that stay in memory, cookies, and the headers on every answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from io import BytesIO
from typing import IO, Any, cast

from flask import Flask, Request, Response, request
from flask.sessions import SecureCookieSessionInterface

from webui.web.proxies import under_tls
from webui.web.settings import LOOPBACK

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
        "img-src 'self' blob: data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": under TLS the CSRF check compares the Referer with the host.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


# The head of a part with a picture that has no file name, as curl's -F "image=<photo.jpg" sends it.
UNNAMED = re.compile(
    rb'(\r\ncontent-disposition: *form-data; *name="?image"?) *(?=\r\n)', re.IGNORECASE
)


class NamedParts:
    """A form as it comes, in which a picture without a file name has an empty one.

    Without any, it would be decoded as text. Only at the form's beginning: the first `read`.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._begun = False

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        if self._begun:
            return chunk
        self._begun = True
        return UNNAMED.sub(rb'\1; filename=""', chunk)


class MemoryRequest(Request):
    """A request whose uploaded files never touch the disk.

    Werkzeug spools files above 500 kB to a temporary file; MAX_CONTENT_LENGTH bounds what is
    held here instead. Only the upload of an archive, which is stored anyway, opens a file of its
    own through `open_upload`.
    """

    open_upload: Callable[[], IO[bytes]] = BytesIO

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return self.open_upload()

    def _get_stream_for_parsing(self) -> IO[bytes]:
        stream = super()._get_stream_for_parsing()
        multipart = self.mimetype == "multipart/form-data"
        return cast(IO[bytes], NamedParts(stream)) if multipart else stream


class CookieSession(SecureCookieSessionInterface):
    """Flask's session, whose cookie is Secure exactly when the visitor came over TLS."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return under_tls()


def any_name(wsgi_app: Callable[..., Any], paths: Container[str]) -> Callable[..., Any]:
    """Have these answer under every host name: probes ask by an address that nobody has named."""

    def under_our_own(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ.get("PATH_INFO") in paths:
            environ = {**environ, "HTTP_HOST": LOOPBACK[0]}
        return wsgi_app(environ, start_response)

    return under_our_own


def init_app(app: Flask) -> None:
    """Set the request class, the cookie rules and the hooks."""
    app.request_class = MemoryRequest
    app.session_interface = CookieSession()
    app.config.update(
        SESSION_COOKIE_NAME="captionize",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        # A form may stay open as long as the session does.
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.after_request(_set_headers)


def _set_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response
