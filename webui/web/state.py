"""What is remembered over a restart of the page: previous defaults and the canary."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class State:
    """A few values by key, in memory and, where there is a `path`, in a small JSON file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {}
        if path is not None and path.exists():
            try:
                values = json.loads(path.read_bytes())
                self._values = values if isinstance(values, dict) else {}
            except (OSError, ValueError) as error:
                log.error("%s cannot be read and is begun anew: %s", path, error)

    def get(self, key: str) -> Any:
        """The value under `key`, or None."""
        with self._lock:
            return self._values.get(key)

    def set(self, key: str, value: Any) -> None:
        """Remember `value`, which JSON can hold, under `key`; None forgets it."""
        with self._lock:
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value
            self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            # Into place as a whole: a reader, or a crash, never meets half of it.
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(self._values, indent=2) + "\n", encoding="utf-8")
            os.replace(new, self._path)
        except OSError as error:
            log.error("%s cannot be written: %s", self._path, error)
