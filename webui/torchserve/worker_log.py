"""What the workers wrote before they died, from the log in which TorchServe collects it."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

ERROR_LINE = re.compile(r"MODEL_LOG - ((?:[\w.]*(?:Error|Exception)|MemoryError)\b.*)")


def end(path: Path) -> int:
    """The log's length in bytes: what is before it is of the past."""
    return path.stat().st_size if path.exists() else 0


def last_error(path: Path, offset: int, worker: str = "") -> str | None:
    """The last error after `offset`, of workers that have `worker` in their thread's name."""
    with contextlib.suppress(OSError), path.open("rb") as log:
        log.seek(offset)
        lines = log.read().decode(errors="replace").splitlines()
        found = [ERROR_LINE.search(line) for line in lines if worker in line]
        errors = [one[1].strip() for one in found if one]
        if errors:
            return errors[-1]
    return None
