"""The handler that an archive brings along: what is mended in ours mends no archive of before."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path

CURRENT = 3  # `VERSION` in handler/__init__.py, which is not installed where the page alone runs
FIRST = 1  # of archives that were made before there was a number

OURS = "handler/caption_handler.py"
PACKAGE = "handler/__init__.py"
# What reading a file that is no whole zip file raises; RuntimeError where it is encrypted.
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)
NUMBER = re.compile(rb"^VERSION = (\d{1,9})$", re.MULTILINE)


def version(archive: zipfile.ZipFile) -> int | None:
    """The version of this project's handler in an archive; None where it has another one."""
    names = archive.namelist()
    if OURS not in names:
        return None
    with archive.open(PACKAGE if PACKAGE in names else OURS) as file:
        found = NUMBER.search(file.read(4096))
    return int(found[1]) if found else FIRST


def is_behind(number: int | None) -> bool:
    """Whether archives with this version of the handler should be renewed."""
    return number is not None and number < CURRENT


def behind(folder: Path) -> list[str]:
    """The archives in a folder whose handler should be renewed, by name."""
    found = []
    for path in sorted(folder.glob("*.mar")):
        try:
            with zipfile.ZipFile(path) as archive:
                if is_behind(version(archive)):
                    found.append(path.name)
        except UNREADABLE:
            continue
    return found
