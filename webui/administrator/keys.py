"""Which programs may ask for captions, and how much each of them did."""

from __future__ import annotations

import logging
from contextlib import suppress

from flask import Flask, Response, current_app, g, request, session

from webui.administrator.audit import now
from webui.telemetry import logs
from webui.telemetry.metrics import Metrics
from webui.web.extensions import bearer, caller, service
from webui.web.problem import ServiceError
from webui.web.settings import Settings
from webui.web.shared import Shared, StoreAway

log = logging.getLogger(__name__)

VISITORS = "(visitors)"  # of the page; no key has such a name
STRANGERS = "(refused)"  # without a key, or with a wrong one
OUTCOMES = ("answered", "refused", "failed")


class Usage:
    """The use of each key at all pages; wrong keys are counted together, and none is kept."""

    def __init__(self, settings: Settings, metrics: Metrics, shared: Shared) -> None:
        self._metrics = metrics
        self._shared = shared
        names = [*(key.name for key in settings.api_keys), VISITORS, STRANGERS]
        self._names = names if settings.api_keys else []

    def count(self, name: str, status: int) -> None:
        """Count a request and how it ended."""
        outcome = "answered" if status < 400 else "refused" if status < 500 else "failed"
        self._metrics.keys.labels(name, outcome).inc()
        with suppress(StoreAway):
            self._shared.add("keys", {f"{name} {outcome}": 1})
            self._shared.put(f"key {name}", now())

    def to_json(self) -> list[dict[str, object]]:
        """The use of every key, and of those who have none, since the first page's start.

        `last` is UTC, ISO 8601. Empty while no keys are set, or while the shared store is away.
        """
        try:
            counted = self._shared.add("keys", {})
            last = self._shared.texts(*(f"key {name}" for name in self._names))
        except StoreAway:
            return []
        return [
            {
                "name": name,
                **{one: counted.get(f"{name} {one}", 0) for one in OUTCOMES},
                "last": when,
            }
            for name, when in zip(self._names, last, strict=True)
        ]


def init_app(app: Flask) -> None:
    """Count by key from here on."""
    app.after_request(_count)


def required() -> None:
    """Let only programs with a key pass, where there are any; a before_request hook."""
    if service(Settings).api_keys and request.method != "OPTIONS":
        _let_in(visitor=False)


def required_of_programs() -> None:
    """The same, and let the page's visitors in by the session that each of its pages begins."""
    if service(Settings).api_keys and request.method != "OPTIONS":
        _let_in(visitor=bool(session))


def _let_in(*, visitor: bool) -> None:
    """Note who comes in. Raises ServiceError, 401."""
    key = caller()
    g.counted_as = key.name if key else VISITORS if visitor else STRANGERS
    logs.note("key", g.counted_as)
    if g.counted_as == STRANGERS:
        came = "none came" if bearer() is None else "a different one came"
        raise ServiceError(
            "Expected a key of this service in the header 'Authorization: Bearer …', "
            f"{came}. Its operator makes keys with: captionize admin make-key NAME.",
            code=401,
            type="WrongKey",
        )


def _count(response: Response) -> Response:
    if name := g.get("counted_as"):
        usage: Usage = current_app.extensions["usage"]
        usage.count(name, response.status_code)
    return response
