"""The text files beside pictures, each with its picture's captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from training.pictures.files import SUFFIXES
from training.pictures.results import Result, writable

EXISTING = ("skip", "overwrite", "append")
NOTHING = b" \t\r\n\0"  # a crash may leave a file that is empty or all zeros


class Sidecars:
    """Writes them; ``existing`` says what happens to those that have captions already."""

    def __init__(self, existing: str) -> None:
        self._existing = existing
        self._targets: dict[Path, Path] = {}

    def select(self, pictures: Sequence[Path]) -> tuple[list[Path], list[Result]]:
        """The pictures that are to be captioned, and why others cannot be."""
        self._targets = sidecars(pictures)
        skip = self._existing == "skip"
        return writable(
            (picture, self._targets[picture])
            for picture in pictures
            if not (skip and has_captions(self._targets[picture]))
        )

    def write(self, results: Iterable[Result]) -> Iterator[Result]:
        """Write each picture's captions, a line each, and pass the results on.

        Those that could not be written say so instead of their captions.
        """
        for result in results:
            if result.captions:
                text = "".join(f"{caption.text}\n" for caption in result.captions)
                target = self._targets[result.path]
                mode = "a" if self._existing == "append" else "w"
                try:
                    with target.open(mode, encoding="utf-8") as file:
                        file.write(text)
                except OSError as error:
                    reason = f"{target} cannot be written: {error.strerror}."
                    result = replace(result, captions=[], error=reason)
            yield result


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
