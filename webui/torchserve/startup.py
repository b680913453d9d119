"""Workers that start: whether they crash again and again, and what they wrote before they did.

TorchServe starts a worker that died again, for minutes, and reports only that it is not ready. But
each try is a new process: many of them are a worker that crashes at every start, one alone is a
slow worker. The reason is in the log in which TorchServe collects the workers' output.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

START_S = 330.0  # above the archive's own limit for a worker's start (startupTimeout)
TAIL_BYTES = 2**20  # of the log that are searched at most
MAX_CRASHES = 3  # of each worker, before it is given up

ERROR_LINE = re.compile(r"MODEL_LOG - ((?:[\w.]*(?:Error|Exception)|MemoryError)\b.*)")


class Startup:
    """Watches one start of workers.

    Args:
        log: where TorchServe collects what workers write; None: not known here.
        worker: a part of these workers' names in the log; empty: all workers.
    """

    def __init__(self, log: Path | None, worker: str = "") -> None:
        self._log = log
        self._worker = worker
        # TorchServe appends to its logs: what is before this is of earlier starts.
        self._offset = log.stat().st_size if log is not None and log.exists() else 0
        self._processes: set[int] = set()

    def crashing(self, pids: Iterable[int], workers: int) -> bool:
        """Whether more processes were seen than so many workers need.

        `pids` are those of now, asked for again and again; -1 is a worker without a process yet.
        """
        self._processes.update(pid for pid in pids if pid > 0)
        return len(self._processes) > MAX_CRASHES * max(1, workers)

    def last_error(self) -> str | None:
        """The last error that these workers have written since the start began."""
        if self._log is None:
            return None
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            size = self._log.stat().st_size
            begun = self._offset if self._offset <= size else 0  # a new file, as the old was long
            log.seek(max(begun, size - TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
            found = [ERROR_LINE.search(line) for line in lines if self._worker in line]
            return next((one[1].strip() for one in reversed(found) if one), None)
        return None
