"""Servers that are started again when they end: at once, then after longer and longer waits."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from webui.launcher.plan import LaunchError, shown
from webui.launcher.processes import Server
from webui.torchserve.startup import START_S

STABLE_S = 60.0  # after so long without an end, the next one is the first again
LONGEST_WAIT_S = 60.0


class Kept:
    """A server that is kept running, once it was ready for the first time.

    Args:
        start: starts it.
        ready: begins to watch a start; what it returns says whether the server is ready.
        tell: called after every change, with the reason of a failure.
    """

    def __init__(
        self,
        start: Callable[[], Server],
        ready: Callable[[], Callable[[], bool]],
        tell: Callable[[Kept, str], None] = lambda kept, reason: None,
    ) -> None:
        self._start, self._watch, self._tell = start, ready, tell
        self.starts = 0
        self.failures = 0  # in a row
        self.wait_s = 0.0  # until the next try
        self.server: Server | None = None
        self._was_ready = False
        self._again_at = 0.0
        self._begin()

    @property
    def ready(self) -> bool:
        """Whether it was ready when it was looked at last."""
        return self._ready_since is not None

    def look(self) -> bool:
        """Whether it is ready; a server that has failed is started again.

        Raises LaunchError where it fails before it was ready for the first time.
        """
        try:
            if self.server is None and time.monotonic() >= self._again_at:
                self._begin()
            if self.server is not None:
                self._check(self.server)
                self.server.bound_log()
        except (LaunchError, OSError) as error:
            if not self._was_ready:
                raise
            self._failed(str(error))
        return self.ready

    def stop(self, grace_s: float) -> None:
        """End it, after at most so many seconds."""
        if self.server is not None:
            self.server.stop(grace_s)

    def _begin(self) -> None:
        self.starts += 1
        self._ready_since: float | None = None
        self._begun = time.monotonic()
        self._is_ready = self._watch()
        self.server = self._start()
        self._tell(self, "")

    def _check(self, server: Server) -> None:
        """Raise LaunchError where the server has ended, or its start has failed."""
        now = time.monotonic()
        if (status := server.exit_status) is not None:
            raise LaunchError(crash(server, status))
        if self._ready_since is None:
            if now > self._begun + START_S:
                raise LaunchError(f"{server.name} was not ready after {START_S:g} s.")
            if self._is_ready():
                self._ready_since, self._was_ready = now, True
                self._tell(self, "")
        elif now > self._ready_since + STABLE_S:
            self.failures = 0

    def _failed(self, reason: str) -> None:
        """End what is left of it, and set the time of the next try."""
        if self.server is not None:
            self.server.stop(0)
        self.server, self._ready_since = None, None
        self.failures += 1
        self.wait_s = min(LONGEST_WAIT_S, 2.0 ** (self.failures - 2)) if self.failures > 1 else 0.0
        self._again_at = time.monotonic() + self.wait_s
        self._tell(self, reason)


def crash(server: Server, status: int) -> str:
    """A sentence about a server that has ended by itself."""
    ended = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    return f"{server.name} stopped unexpectedly ({ended})" + (
        f"; its log is {shown(server.log)}" if server.log else ""
    )
