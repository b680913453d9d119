"""Who did what to the versions, when, and with what outcome.

An act has two entries of one id: "begun" before it, and its outcome after. A begun one without an
outcome is what was under way when the page ended.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from webui.web.problem import ServiceError
from webui.web.shared import Memory, Shared, StoreAway

log = logging.getLogger(__name__)

Outcome = Literal["begun", "done", "failed", "refused"]

KEPT = 200  # changes that are shown, and as many log-ins; the file has them all
TAIL_BYTES = 1024 * 1024  # of the file, read at the start
UNEXPECTED = "Unexpected error; see the page's log."
LOGINS = ("login", "logout")
KINDS = ("changes", "logins")


class Refused(ServiceError):
    """What was requested would stop the captions, or makes no sense just now: nothing was begun."""

    code = 409
    type = "Refused"


@dataclass(frozen=True)
class Actor:
    """Who acts: by password, by token, the service itself, or unknown; and from which address."""

    how: str
    address: str


SERVICE = Actor("service", "")  # what the page does by itself


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
    id: str = ""  # the same of an act's beginning and of its outcome


def now() -> str:
    """The time in UTC, to the second, as the audit log and the jobs write it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Audit:
    """The newest entries of all pages, and the file that has all of this one, where there is one.

    Changes and log-ins are kept apart, so that no number of wrong passwords hides a change.
    Addresses are in the file and on the page alone, never in the process's log.
    """

    def __init__(self, path: Path | None, shared: Shared | None = None) -> None:
        self._path = path
        self._shared = shared or Memory()
        self._lock = threading.Lock()
        with suppress(StoreAway):
            if path is not None and path.exists() and not any(map(self._shared.listed, KINDS)):
                for entry in _tail(path):
                    self._keep(entry)

    def record(
        self,
        actor: Actor,
        action: str,
        outcome: Outcome,
        message: str,
        *,
        model: str | None = None,
        version: str | None = None,
        id: str = "",
    ) -> None:
        """Write one entry; a file that cannot be written is logged and stops nothing."""
        who = (actor.how, actor.address)
        entry = Entry(
            now(), *who, action, model, version, outcome, message, id or secrets.token_hex(8)
        )
        with self._lock:
            with suppress(StoreAway):
                self._keep(entry)
            level = logging.INFO if self._path else logging.WARNING
            log.log(level, "Audit: %s", _line(entry, without="address"))
            if self._path is not None:
                self._append(self._path, _line(entry))

    @contextmanager
    def recorded(
        self, actor: Actor, action: str, *, model: str | None = None, version: str | None = None
    ) -> Iterator[Callable[[str], str]]:
        """Record that the block begins, and the error that ends it or the success that it reports.

        The block gets a function for its last sentence, which records it and returns it.
        """
        act = secrets.token_hex(8)

        def record(outcome: Outcome, message: str) -> str:
            self.record(actor, action, outcome, message, model=model, version=version, id=act)
            return message

        record("begun", "Begun.")
        try:
            yield partial(record, "done")
        except ServiceError as error:
            record("refused" if error.code < 500 else "failed", error.message)
            raise
        except Exception:
            record("failed", UNEXPECTED)
            raise

    def recent(self) -> list[Entry]:
        """The newest changes and log-ins, the newest first; of an act, only what came of it.

        Raises StoreAway.
        """
        kept: list[tuple[int, Entry]] = []
        for kind in KINDS:
            found: dict[str, tuple[int, Entry]] = {}
            for text in self._shared.listed(kind):
                number, _, line = text.partition(" ")
                entry = Entry(**json.loads(line))
                found.setdefault(entry.id or number, (int(number), entry))
            kept += list(found.values())[:KEPT]
        return [entry for _, entry in sorted(kept, key=lambda one: -one[0])]

    def _keep(self, entry: Entry) -> None:
        """Keep it for all pages, after a number that is its order among both kinds."""
        number = self._shared.add("audit", {"entries": 1})["entries"]
        kind = "logins" if entry.action in LOGINS else "changes"
        self._shared.push(kind, f"{number} {_line(entry)}", 2 * KEPT)  # with their beginnings

    @staticmethod
    def _append(path: Path, line: str) -> None:
        try:
            with open(path, "a+b", opener=partial(os.open, mode=0o600)) as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
                cut = file.read() not in (b"", b"\n")  # a full disk, or a crash, within a line
                file.write(b"\n" * cut + line.encode() + b"\n")
        except OSError as error:
            log.error("The audit log %s cannot be written: %s; it lost an entry", path, error)


def _line(entry: Entry, without: str = "") -> str:
    members = {name: value for name, value in asdict(entry).items() if name != without}
    return json.dumps(members, ensure_ascii=False)


def _tail(path: Path) -> list[Entry]:
    """The file's last entries; lines that are none are passed over."""
    entries = []
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError as error:
        log.error("The audit log %s cannot be read: %s", path, error)
        return []
    for line in lines:
        try:
            entries.append(Entry(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return entries
