"""Who did what to the versions, when, and with what outcome."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from webui.web.problem import ServiceError

log = logging.getLogger(__name__)

Outcome = Literal["done", "failed", "refused"]

KEPT = 200  # entries that are shown; the file has them all
TAIL_BYTES = 256 * 1024  # of the file, read at the start


class Refused(ServiceError):
    """What was requested would stop the captions, or makes no sense just now: nothing was begun."""

    code = 409
    type = "Refused"


@dataclass(frozen=True)
class Actor:
    """Who acts: by password, by token or unknown (a wrong password), and from which address."""

    how: str
    address: str


@dataclass(frozen=True)
class Entry:
    """One line of the audit log."""

    time: str  # UTC, ISO 8601
    actor: str
    address: str
    action: str
    model: str | None
    version: str | None
    outcome: Outcome
    message: str


def now() -> str:
    """The time in UTC, to the second, as the audit log and the jobs write it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Audit:
    """The newest entries, and the file that has them all, where there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._recent: deque[Entry] = deque(maxlen=KEPT)
        if path is not None and path.exists():
            self._recent.extend(_tail(path))

    def record(
        self,
        actor: Actor,
        action: str,
        outcome: Outcome,
        message: str,
        *,
        model: str | None = None,
        version: str | None = None,
    ) -> None:
        """Write one entry; a file that cannot be written is logged and stops nothing."""
        who = (actor.how, actor.address)
        entry = Entry(now(), *who, action, model, version, outcome, message)
        line = json.dumps(asdict(entry), ensure_ascii=False)
        with self._lock:
            self._recent.append(entry)
            log.log(logging.INFO if self._path else logging.WARNING, "Audit: %s", line)
            if self._path is not None:
                self._append(self._path, line)

    @contextmanager
    def recorded(
        self, actor: Actor, action: str, *, model: str | None = None, version: str | None = None
    ) -> Iterator[Callable[[str], str]]:
        """Record the error that ends the block, or the success that the block reports.

        The block gets a function for its last sentence, which records it and returns it.
        """

        def record(outcome: Outcome, message: str) -> str:
            self.record(actor, action, outcome, message, model=model, version=version)
            return message

        try:
            yield lambda message: record("done", message)
        except Exception as error:
            message = error.message if isinstance(error, ServiceError) else "Unexpected error."
            record("refused" if isinstance(error, Refused) else "failed", message)
            raise

    def recent(self) -> list[Entry]:
        """The newest entries, the newest first."""
        with self._lock:
            return list(reversed(self._recent))

    @staticmethod
    def _append(path: Path, line: str) -> None:
        try:
            with open(path, "ab", opener=partial(os.open, mode=0o600)) as file:
                file.write(line.encode() + b"\n")
        except OSError as error:
            log.error("The audit log %s cannot be written: %s; it lost: %s", path, error, line)


def _tail(path: Path) -> list[Entry]:
    """The file's last entries; lines that are none are passed over."""
    entries = []
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().splitlines()[-KEPT:]
    except OSError as error:
        log.error("The audit log %s cannot be read: %s", path, error)
        return []
    for line in lines:
        try:
            entries.append(Entry(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return entries
