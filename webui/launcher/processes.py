"""Server processes that end with the launcher: each in a session of its own, stopped whole.

A session of its own keeps the terminal's Ctrl-C from the servers, so that the launcher decides the
order of stopping, and makes a server, its workers and whatever they start one process group.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

KILL_S = 5.0  # more than the kernel takes to end processes that hold much memory
LOG_BYTES = 16 * 2**20  # of a log and of the one before it
PR_SET_PDEATHSIG = 1

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


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
        """Start `command`; its output goes to the file `log`, or without one is the launcher's.

        Raises OSError when the command or the log cannot be opened.
        """
        self.name = name
        self.log = log
        launcher = os.getpid()
        with contextlib.ExitStack() as stack:
            if log and log.exists():  # why an earlier one ended
                log.replace(_before(log))
            # Appending, so that what follows a cut goes to the beginning.
            output = stack.enter_context(log.open("ab")) if log else None
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

    def bound_log(self) -> None:
        """Begin the log anew where it is long; the server keeps the file, so it is copied and cut.

        A line that is written just then may be lost, and where the copy has no room all of it.
        """
        with contextlib.suppress(OSError):
            if self.log and self.log.stat().st_size > LOG_BYTES:
                with contextlib.suppress(OSError):
                    shutil.copyfile(self.log, _before(self.log))
                os.truncate(self.log, 0)

    def stop(self, grace_s: float) -> None:
        """Ask the server to end, wait at most `grace_s` seconds, then end what is left of it."""
        if self.exit_status is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        left = list(self._group())
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # Orphans are init's to collect; here it only matters that they write to no file any more.
        psutil.wait_procs(left, KILL_S)

    def _group(self) -> Iterator[psutil.Process]:
        """The processes that the server has started, and theirs, also after its own end."""
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(process.pid) == self._process.pid:
                    yield process


def _before(log: Path) -> Path:
    """Where a log is kept that has given way to another."""
    return log.with_name(f"{log.name}.1")


def _end_with(launcher: int) -> None:
    """In a new child: have the kernel end it when the launcher is gone, even by kill -9."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != launcher:
        os._exit(1)
