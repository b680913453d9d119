"""Picture files: those of folders, and the text files beside them."""

from __future__ import annotations

import logging
import mimetypes
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from training.packaging.inference import Result

logger = logging.getLogger(__name__)

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"]
    + [".heic", ".heif", ".avif"]
)  # looked for in folders; a file named outright is tried whatever it is called
EXISTING = ("skip", "overwrite", "append")
MAX_NAMED = 10  # of the files of a folder that are left out
NOTHING = b" \t\r\n\0"  # a crash may leave a file that is empty or all zeros


def sidecars(pictures: Sequence[Path]) -> dict[Path, Path]:
    """The text file beside each picture: ``photo.txt``.

    Where that name would fit another file as well, it is ``photo.jpg.txt``, whichever of them are
    captioned this time.
    """
    named = {}
    for folder in {picture.parent for picture in pictures}:
        here = {picture for picture in pictures if picture.parent == folder}
        beside = here | {path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES}
        names = [{path.name.casefold(), path.stem.casefold()} for path in beside]
        fitting = Counter(name for both in names for name in both)
        for picture in here:
            alone = fitting[picture.stem.casefold()] == 1 and picture.suffix.lower() != ".txt"
            text = picture.stem if alone else picture.name
            named[picture] = picture.with_name(f"{text}.txt")
    return named


def has_captions(file: Path) -> bool:
    """Whether there is a sidecar with anything in it."""
    try:
        return bool(file.read_bytes().strip(NOTHING))
    except OSError:
        return False


def write_sidecars(
    results: Iterable[Result], targets: dict[Path, Path], existing: str
) -> Iterator[Result]:
    """Write each picture's captions, a line each, into its target; ``append`` adds to it.

    Passes the results on; those that could not be written say so instead of their captions.
    """
    for result in results:
        if result.captions:
            text = "".join(f"{caption.text}\n" for caption in result.captions)
            target = targets[result.path]
            try:
                with target.open("a" if existing == "append" else "w", encoding="utf-8") as file:
                    file.write(text)
            except OSError as error:
                reason = f"{target} cannot be written: {error.strerror}."
                result = replace(result, captions=[], error=reason)
        yield result


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Files as they are named, and the pictures of folders and their subfolders, sorted."""
    found: list[Path] = []
    for path in paths:
        found += sorted(_search(path)) if path.is_dir() else [path]
    return list(dict.fromkeys(found))


def _search(folder: Path) -> list[Path]:
    """The pictures in a folder, in its subfolders and in linked ones; others are named."""
    found: list[Path] = []
    others: list[str] = []
    seen: set[tuple[int, int]] = set()  # links can lead in circles
    for name, subfolders, files in os.walk(folder, onerror=_unread, followlinks=True):
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
    if others:
        named = ", ".join(sorted(others)[:MAX_NAMED])
        more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
        logger.warning("Left out, as pictures of this kind are not read: %s%s", named, more)
    return found


def _unread(error: OSError) -> None:
    logger.warning("Left out: the folder %s (%s)", error.filename, error.strerror)
