"""Whether a worker answers: TorchServe also calls one READY that is stuck."""

from __future__ import annotations

import threading
import time

from webui.torchserve.client import TorchServe
from webui.torchserve.errors import NotReady, TorchServeError

RECENT_S = 10.0  # an answer of so long ago shows that captions come
PATIENCE_S = 3.0  # for a worker's answer
AGAIN_S = 3.0  # after a question without an answer, before the next


class Stuck(NotReady):
    """A worker is READY, and none answers."""

    type = "Stuck"


class Pulse:
    """Asks a worker for its description where none has answered anything for a while.

    The question waits in the queue like any picture. So under load nothing is asked, and a queue
    that does not move is noticed.
    """

    def __init__(self, client: TorchServe, model: str) -> None:
        self._client, self._model = client, model
        self._lock = threading.Lock()
        self._until = 0.0
        self._error: TorchServeError | None = None

    def check(self) -> None:
        """Raise TorchServeError where no worker answers."""
        with self._lock:  # the others who ask wait for the same answer
            now = time.monotonic()
            if now - self._client.answered < RECENT_S:
                self._error = None
            elif now >= self._until:
                self._error = self._ask()
                self._until = time.monotonic() + (AGAIN_S if self._error else RECENT_S)
        if self._error is not None:
            raise self._error

    def _ask(self) -> TorchServeError | None:
        path = f"/models/{self._model}"
        try:
            status, _ = self._client.manage("GET", path, {"customized": "true"}, PATIENCE_S)
        except TorchServeError as error:
            if error.code == 504:
                return _stuck(f"it gave no answer within {PATIENCE_S:g} s")
            return error
        # A handler that has no description answers too; 503 is a queue without room.
        return _stuck("its queue is full, and nothing comes out of it") if status == 503 else None


def _stuck(why: str) -> Stuck:
    return Stuck(f"A worker is ready, but {why}. If this lasts, restart it on the Versions page.")
