"""Which versions of the model there are, asked of TorchServe at most every two seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from flask import Flask, current_app

from webui import torchserve
from webui.torchserve import Version

FRESH_S = 2.0  # seconds for which an answer serves all pages that ask


class Served:
    """The versions, remembered for a moment; safe among threads."""

    def __init__(self, ask: Callable[[], list[Version]], fresh_s: float = FRESH_S) -> None:
        self._ask = ask
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._versions: list[Version] = []
        self._until = 0.0  # on the monotonic clock

    def versions(self) -> list[Version]:
        """Every registered version. Raises ServiceError; errors are not remembered."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._versions = self._ask()
                self._until = time.monotonic() + self._fresh_s
            return self._versions

    def forget(self) -> None:
        """Ask again next time; for whoever has just changed something."""
        with self._lock:
            self._until = 0.0


def current() -> Served:
    """The running application's."""
    served: Served = current_app.extensions["served"]
    return served


def init_app(app: Flask) -> None:
    """Bind to the application's client of TorchServe."""
    client: torchserve.TorchServe = app.extensions["torchserve"]
    app.extensions["served"] = Served(client.versions)
