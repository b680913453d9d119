"""Server processes that end with the launcher: each in a session of its own, stopped whole.

A session of its own keeps the terminal's Ctrl-C from the servers, so that the launcher decides the
order of stopping, and makes a server, its workers and whatever they start one process group.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

POLL_S = 0.05
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def adopt_orphans() -> None:
    """Make this process the parent of every orphan among its descendants, so that it reaps them."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Server:
    """A running server and all the processes it has started."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        log: Path | None,
    ) -> None:
        """Start `command`; its output replaces the file `log`, or without one is the launcher's.

        Raises OSError when the command or the log cannot be opened.
        """
        self.name = name
        self.log = log
        launcher = os.getpid()
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(log.open("wb")) if log else None
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
                preexec_fn=lambda: _end_with(launcher),
            )

    @property
    def exit_status(self) -> int | None:
        """The server's exit status (negative: the signal that ended it), None while it runs."""
        return self._process.poll()

    def stop(self, grace_s: float) -> None:
        """Ask the server to end, wait at most `grace_s` seconds, then end what is left of it."""
        if self.exit_status is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        while self._signal_group(signal.SIGKILL):
            self._reap()
            time.sleep(POLL_S)

    def _signal_group(self, signum: int) -> bool:
        """Send `signum` to every process of the group; False when there is none left."""
        try:
            os.killpg(self._process.pid, signum)
        except ProcessLookupError:
            return False
        return True

    def _reap(self) -> None:
        """Collect the ended processes of the group, the adopted ones included."""
        if self.exit_status is None:
            return  # the server itself is collected through its Popen, which keeps its status
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-self._process.pid, os.WNOHANG)[0]:
                pass


def _end_with(launcher: int) -> None:
    """In a new child: have the kernel end it when the launcher is gone, even by kill -9."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != launcher:
        os._exit(1)
