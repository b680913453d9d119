"""The process's log: one JSON object a line, or plain text for a terminal.

A line for each request says the method, the route (never the address that was asked for, which may
hold anything), the status and the milliseconds. No client address, picture or caption is logged.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, g, request

from webui.telemetry import metrics, requestid

FORMATS = ("json", "text")
# Asked every few seconds; lines about them would bury all others. Of health not even the failures
# are logged, which are no errors while a model loads.
HEALTH = frozenset({"/healthz", "/readyz", "/metrics"})
QUIET = frozenset({"/api/operations", "/static/<path:filename>"})

log = logging.getLogger(__name__)


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what `extra={"fields": {...}}` holds becomes members of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if known := requestid.current():
            line["request_id"] = known
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """The same for people: time, level, logger, message, and the request's id at the end."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the lines of an exception."""
        known = requestid.current()
        fields = {**getattr(record, "fields", {}), **({"request_id": known} if known else {})}
        end = "".join(f" {name}={value}" for name, value in fields.items())
        head = f"{_time(record.created)} {record.levelname:7} {record.name}: {record.getMessage()}"
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return head + end + trace


def _time(seconds: float) -> str:
    """Seconds since the epoch as 2026-01-31T12:00:00.123Z."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def configuration(form: str) -> dict[str, Any]:
    """What logging.config.dictConfig takes; gunicorn's own loggers write in the same form.

    `form` is "json" or "text"; anything else is text, and refused by the application's settings.
    """
    formatter = JsonFormatter if form == "json" else TextFormatter
    inherited = {"level": "INFO", "handlers": [], "propagate": True}
    # With a configuration of ours gunicorn turns its access log on, which says who sent what.
    silent = {"level": "CRITICAL", "handlers": [], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"level": "INFO", "handlers": ["stderr"]},
        "loggers": {"gunicorn.error": inherited, "gunicorn.access": silent},
    }


def init_app(app: Flask) -> None:
    """Log every request from here on."""
    app.after_request(_log)


def _log(response: Response) -> Response:
    route = metrics.route()
    quiet = route in HEALTH or (route in QUIET and response.status_code < 400)
    fields = {
        "method": request.method,
        "route": route,
        "status": response.status_code,
        "milliseconds": round(1000 * (time.perf_counter() - g.started), 1),
        **g.get("logged", {}),
    }
    level = logging.DEBUG if quiet else logging.INFO
    log.log(level, "%s %s", request.method, route, extra={"fields": fields})
    return response


def note(name: str, value: object) -> None:
    """Add a member to the line of the current request."""
    if requestid.current():
        g.setdefault("logged", {})[name] = value
