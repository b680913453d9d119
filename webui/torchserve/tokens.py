"""TorchServe's keys, as its key_file.json holds them.

TorchServe writes the file at its start and again whenever a key is asked for anew; the answer to
that request is empty, so the file is the only place to read a key from. It is rewritten in place,
which means that a reader may meet half of it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

log = logging.getLogger(__name__)

Kind = Literal["inference", "management"]
Request = Callable[[Kind, str], None]

RENEW_AT = 0.8  # share of a key's life after which a new one is asked for
READ_FOR_S = 1.0  # how long a half-written file is read again
READ_EVERY_S = 0.02
PAUSE_S = 30.0  # after a renewal that failed, while the key at hand still serves


class KeysUnreadable(Exception):
    """The key file is absent, unreadable or stays broken."""


@dataclass(frozen=True)
class Key:
    """One key and the time (seconds since the epoch) from which a new one is due."""

    value: str
    due: float = math.inf


class KeyRing:
    """The keys in the file at `path`, kept fresh; safe among threads and processes.

    `request(kind, api_key)` asks TorchServe for a new key of that kind. It raises OSError (every
    exception of requests is one) when that fails.
    """

    def __init__(self, path: Path, request: Request) -> None:
        self._path = path
        self._request = request
        self._lock = threading.Lock()
        self._keys: dict[str, Key] = {}
        self._seen: tuple[int, ...] = ()
        self._not_before = 0.0

    def key(self, kind: Kind) -> str:
        """The key to send now; renewed when 80% of its life is over.

        Raises KeysUnreadable.
        """
        with self._lock:
            self._read()
            if self._due(kind) and time.monotonic() >= self._not_before:
                try:
                    self._renew(kind)
                except (OSError, KeysUnreadable) as error:
                    self._not_before = time.monotonic() + PAUSE_S
                    log.warning("The %s key could not be renewed: %s", kind, error)
            return self._keys[kind].value

    def replacement(self, kind: Kind, refused: str) -> str:
        """The key to send after TorchServe refused one.

        Another process may have renewed it meanwhile, or TorchServe been started again: then the
        file has it. Otherwise a new one is asked for. Raises KeysUnreadable, OSError.
        """
        with self._lock:
            self._read(again=True)
            if self._keys[kind].value == refused:
                self._renew(kind, refused)
            return self._keys[kind].value

    def _due(self, kind: Kind) -> bool:
        return time.time() >= self._keys[kind].due

    def _renew(self, kind: Kind, refused: str | None = None) -> None:
        with self._alone():
            self._read(again=True)  # who had the lock before may have renewed it already
            if self._keys[kind].value == refused or self._due(kind):
                self._request(kind, self._keys["API"].value)
                self._read(again=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the one lock among all processes that renew keys: on the key file itself.

        TorchServe takes no lock and rewrites the file in place, so it is not held up.
        """
        with self._path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _read(self, again: bool = False) -> None:
        """Bring `_keys` up to date with the file, unless it is unchanged and not `again`."""
        give_up = time.monotonic() + READ_FOR_S
        while True:
            try:
                stat = self._path.stat()
                seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if seen == self._seen and not again:
                    return
                self._keys = _parse(self._path.read_bytes(), stat.st_mtime, self._keys)
                self._seen = seen
                return
            except OSError as error:
                raise KeysUnreadable(f"{self._path}: {error.strerror}") from error
            except (ValueError, KeyError, TypeError) as error:
                if time.monotonic() >= give_up:
                    raise KeysUnreadable(f"{self._path} holds no keys: {error!r}") from error
            time.sleep(READ_EVERY_S)


def _parse(text: bytes, written: float, known: dict[str, Key]) -> dict[str, Key]:
    """The keys in the file's `text`; `written` is its time of modification.

    Raises ValueError, KeyError or TypeError on anything but a whole key file.
    """
    entries = json.loads(text)
    keys = {"API": Key(str(entries["API"]["key"]))}
    for kind in ("inference", "management"):
        value = str(entries[kind]["key"])
        if kind in known and known[kind].value == value:
            keys[kind] = known[kind]  # the file was rewritten for the other key
            continue
        # Java writes "2026-01-31T12:00:00.123456789Z".
        expires = datetime.fromisoformat(entries[kind]["expiration time"]).timestamp()
        keys[kind] = Key(value, written + RENEW_AT * max(0.0, expires - written))
    return keys
