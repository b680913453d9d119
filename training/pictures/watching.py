"""Folders that are watched for pictures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from training.pictures.files import find_pictures

EVERY_S = 1.0

Stamp = tuple[int, int]  # when it was changed, and its size


def arrivals(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """The pictures that are there, and then, for ever, those that appear or change.

    Folders are looked through, rather than the system asked, so that network drives work too. A
    picture counts once two looks find it the same: it may still be being copied before. What the
    caller does to a picture before it asks for the next ones is no change.
    """
    done: dict[Path, Stamp | None] = {}
    seen: dict[Path, Stamp | None] = {}
    ready = find_pictures(paths)
    while True:
        if ready:
            yield ready
            done |= {path: _stamp(path) for path in ready}
        time.sleep(EVERY_S)
        before, seen = seen, {path: _stamp(path) for path in find_pictures(paths, quiet=True)}
        ready = [
            path
            for path, stamp in seen.items()
            if stamp and stamp != done.get(path) and stamp == before.get(path)
        ]


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
