"""Scripts, styles and what repeats nothing of its request go out compressed.

Other pages and answers do not: they hold the form's token beside what a visitor may choose, and
the length of the two compressed together would give the token away bit by bit (BREACH).
"""

from __future__ import annotations

import gzip

from flask import Flask, Response, request

TYPES = {
    "text/css",
    "text/html",
    "text/javascript",
    "image/svg+xml",
    "text/plain",
    "application/json",
}
ENDPOINTS = {"static", "page.show", "docs.openapi"}


def init_app(app: Flask) -> None:
    """Compress what these endpoints answer."""
    app.after_request(_compress)


def _compress(response: Response) -> Response:
    if request.endpoint not in ENDPOINTS or response.mimetype not in TYPES:
        return response
    response.vary.add("Accept-Encoding")
    if response.status_code != 200 or request.method != "GET":
        return response
    if not request.accept_encodings.quality("gzip"):
        return response
    response.direct_passthrough = False
    response.set_data(gzip.compress(response.get_data(), mtime=0))
    response.headers["Content-Encoding"] = "gzip"
    # The same content in other bytes: a strong tag would promise the same bytes.
    etag, _ = response.get_etag()
    if etag:
        response.set_etag(etag, weak=True)
    return response
