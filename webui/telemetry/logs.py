"""The process's log: one JSON object a line, or plain text for a terminal.

Each request has a line with its method, its route (never the requested address, which may hold
anything), its status and its milliseconds. No client address, picture or caption is logged.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, g

from webui.telemetry import metrics, requestid

FORMATS = ("json", "text")
# Requested every few seconds: lines about them would bury all others. Of health not even failures
# are logged, which are normal while a model loads.
HEALTH = frozenset(
    {"/healthz", "/health", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}
)
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
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """The same for people: time, level, logger, message, and the request's id at the end."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the lines of an exception."""
        end = "".join(f" {name}={value}" for name, value in _fields(record).items())
        head = f"{_time(record.created)} {record.levelname:7} {record.name}: {record.getMessage()}"
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return head + end + trace


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The members of the record's own, and the id of the request under way."""
    known = requestid.current()
    return {**getattr(record, "fields", {}), **({"request_id": known} if known else {})}


def _time(seconds: float) -> str:
    """Seconds since the epoch as 2026-01-31T12:00:00.123Z."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def configuration(form: str) -> dict[str, Any]:
    """What logging.config.dictConfig takes; the server's own loggers write in the same form.

    `form` is "json" or "text"; anything else counts as text here, and the settings refuse it.
    """
    formatter = JsonFormatter if form == "json" else TextFormatter
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
    }


def init_app(app: Flask) -> None:
    """Log every request from here on."""
    app.after_request(_log)


def _log(response: Response) -> Response:
    route = metrics.route()
    quiet = route in HEALTH or (route in QUIET and response.status_code < 400)
    fields = {
        "method": metrics.method(),
        "route": route,
        "status": response.status_code,
        "milliseconds": round(1000 * (time.perf_counter() - g.started), 1),
        **g.get("logged", {}),
    }
    level = logging.DEBUG if quiet else logging.INFO
    log.log(level, "%s %s", metrics.method(), route, extra={"fields": fields})
    return response


def note(name: str, value: object) -> None:
    """Add a member to the line of the current request."""
    if requestid.current():
        g.setdefault("logged", {})[name] = value
