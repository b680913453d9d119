"""Tells the console and the page how TorchServe is, whenever that changes."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TextIO

from webui.launcher.keeping import Kept
from webui.launcher.plan import Plan
from webui.torchserve.report import Report

LINES = 10  # of the log that the administrator is shown
TAIL_BYTES = 64 * 1024


class Reporter:
    """Told by `Kept`; writes the report beside TorchServe's keys."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._reason = ""
        self._log: list[str] = []

    def __call__(self, kept: Kept, reason: str) -> None:
        if reason:
            self._reason, self._log = reason, tail(self._plan.logs / "torchserve.log")
        announce(kept, reason)
        report = Report(
            state="running" if kept.ready else "starting",
            starts=kept.starts,
            failures=kept.failures,
            reason=self._reason,
            again_at=0.0 if kept.server else time.time() + kept.wait_s,
            log=self._log,
        )
        with contextlib.suppress(OSError):  # a full disk stops nothing
            report.write(self._plan.key_file)


def announce(kept: Kept, reason: str) -> None:
    """Say on the console that a server has failed, and that it is ready again."""
    if reason:
        wait = f"in {kept.wait_s:g} s" if kept.wait_s else "now"
        print_line(f"{reason}. It is started again {wait}.", sys.stderr)
    elif kept.ready and kept.starts > 1 and kept.server:
        print_line(f"{kept.server.name} is ready again.")


def tail(path: Path) -> list[str]:
    """The last lines of a log."""
    with contextlib.suppress(OSError), path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return log.read().decode(errors="replace").splitlines()[-LINES:]
    return []


def print_line(text: str, stream: TextIO | None = None) -> None:
    """Print a line; a terminal that has gone is no reason to leave servers behind."""
    with contextlib.suppress(OSError):
        print(text, file=stream or sys.stdout, flush=True)
