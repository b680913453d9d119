"""Captions written into the pictures' own files: into copies, or in place."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from basics.inscribing import CannotInscribe, alt_text, inscribe
from training.pictures.results import Result, writable


class Copies:
    """Writes the pictures with their captions into a folder, or, without one, over themselves.

    ``paths`` is what was named: the copies lie in ``folder`` as the pictures lie in what holds all
    of it. With ``existing`` "skip", a copy that exists, or an alternative text in the picture
    itself, is left alone.
    """

    def __init__(self, existing: str, folder: Path | None, paths: Sequence[Path]) -> None:
        self._skip = existing == "skip"
        self._folder = folder
        places = [path if path.is_dir() else path.parent for path in paths]
        self._above = os.path.commonpath([os.path.abspath(place) for place in places])

    def select(self, pictures: Sequence[Path]) -> tuple[list[Path], list[Result]]:
        """The pictures that are to be captioned, and why others cannot be."""
        targets = ((one, self._target(one)) for one in pictures if not self._is_copy(one))
        return writable(
            (picture, target)
            for picture, target in targets
            if not (self._skip and self._is_done(picture, target))
        )

    def write(self, results: Iterable[Result]) -> Iterator[Result]:
        """Write each picture with its first caption, and pass the results on.

        Those that could not be written say so instead of their captions.
        """
        for result in results:
            if result.captions:
                target = self._target(result.path)
                try:
                    sentence = result.captions[0].text
                    made = inscribe(result.path.read_bytes(), sentence[:1].upper() + sentence[1:])
                    _replace(target, made, like=result.path)
                except CannotInscribe as error:
                    result = replace(result, captions=[], error=str(error))
                except OSError as error:
                    reason = f"{target} cannot be written: {error.strerror}."
                    result = replace(result, captions=[], error=reason)
            yield result

    def _target(self, picture: Path) -> Path:
        if self._folder is None:
            return picture.resolve()  # what a link leads to, not the link
        return self._folder / os.path.relpath(os.path.abspath(picture), self._above)

    def _is_copy(self, picture: Path) -> bool:
        """Whether it lies in the folder of copies, which may lie among the pictures."""
        folder = self._folder
        return folder is not None and picture.absolute().is_relative_to(folder.absolute())

    def _is_done(self, picture: Path, target: Path) -> bool:
        if self._folder is not None:
            return target.exists()
        try:
            return alt_text(picture.read_bytes()) is not None
        except OSError:
            return False  # which captioning it will say


def _replace(target: Path, data: bytes, like: Path) -> None:
    """Write a file as a whole or not at all, with the rights of another."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".captionize-", delete=False) as new:
        try:
            new.write(data)
            new.close()
            shutil.copymode(like, new.name)
            os.replace(new.name, target)
        except BaseException:
            os.unlink(new.name)
            raise
