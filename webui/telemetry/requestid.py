"""One id for each request: on its answer, on every call that it makes of TorchServe, in the log."""

from __future__ import annotations

import re
import uuid

from flask import Flask, Response, g, has_request_context, request

HEADER = "X-Request-ID"
ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")


def current() -> str | None:
    """The id of the request under way, None outside of one."""
    return g.get("request_id") if has_request_context() else None


def headers() -> dict[str, str]:
    """What a call made for the current request sends along."""
    known = current()
    return {HEADER: known} if known else {}


def init_app(app: Flask) -> None:
    """Give every request its id: the client's own where it is one that can be logged safely."""
    app.before_request(_assign)
    app.after_request(_answer)


def _assign() -> None:
    given = request.headers.get(HEADER, "")
    g.request_id = given if ACCEPTED.fullmatch(given) else uuid.uuid4().hex


def _answer(response: Response) -> Response:
    response.headers[HEADER] = g.request_id
    return response
