"""Picture files: those that are named, and those of folders."""

from __future__ import annotations

import logging
import mimetypes
import os
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"]
    + [".heic", ".heif", ".avif"]
)  # looked for in folders; a file named outright is tried whatever it is called
MAX_NAMED = 10  # of the files of a folder that are left out


def find_pictures(paths: Sequence[Path], *, quiet: bool = False) -> list[Path]:
    """Files as they are named, and the pictures of folders and their subfolders, sorted.

    What is left out is named, unless ``quiet``.
    """
    found: list[Path] = []
    for path in paths:
        found += sorted(_search(path, quiet)) if path.is_dir() else [path]
    return list(dict.fromkeys(found))


def _search(folder: Path, quiet: bool) -> list[Path]:
    """The pictures in a folder, in its subfolders and in linked ones; others are named."""
    found: list[Path] = []
    others: list[str] = []
    seen: set[tuple[int, int]] = set()  # links can lead in circles
    for name, subfolders, files in os.walk(
        folder, onerror=None if quiet else _unread, followlinks=True
    ):
        place = Path(name)
        status = place.stat()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for path in (place / file for file in files):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                found.append(path)
            elif (mimetypes.guess_type(path.name)[0] or "").startswith("image/"):
                others.append(str(path))
    if others and not quiet:
        named = ", ".join(sorted(others)[:MAX_NAMED])
        more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
        logger.warning("Left out, as pictures of this kind are not read: %s%s", named, more)
    return found


def _unread(error: OSError) -> None:
    logger.warning("Left out: the folder %s (%s)", error.filename, error.strerror)
