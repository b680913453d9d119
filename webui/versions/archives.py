"""The archives in the model store: what they are, and how a new one is added."""

from __future__ import annotations

import os
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from webui.administrator.audit import Refused
from webui.torchserve import handlers
from webui.versions.inspection import BadArchive, check_manifest, inspect, read_json
from webui.web.names import RULE, is_archive_name
from webui.web.problem import ServiceError

CARD = "model_card.json"
EXPANSION = 4  # an archive may unpack to this many times the largest upload
PART = ".upload-"
STALE_S = 24 * 3600.0  # after which what an interrupted upload left is removed
SHOWN_OF_CARD = (
    "description",
    "encoder",
    "decoder",
    "parameters",
    "vocabulary_size",
    "image_size",
    "training_data",
    "date",
    "scores",
    "limits",
    "licence",
    "adopted",
)


@dataclass(frozen=True)
class Archive:
    """One archive of the model store; `problem` says why it cannot be registered."""

    name: str
    size_bytes: int
    model: str | None = None
    version: str | None = None
    ours: bool = False  # has a card and this repository's handler
    handler: int | None = None  # the version of that handler
    behind: bool = False  # that is older than this page, and lacks what was mended since
    card: dict[str, Any] | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The form in which the API answers."""
        return asdict(self)


class Store:
    """The folder of the archives, which the page reads, adds to and removes from."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def all(self) -> list[Archive]:
        """Every archive that lies there, by name; none where there is no such folder."""
        try:
            paths = sorted(one for one in self._folder.glob("*.mar") if one.is_file())
        except OSError:
            return []
        return [one for path in paths if (one := self._read(path)) is not None]

    def get(self, name: str) -> Archive | None:
        """The archive of this name, None where there is none."""
        if not is_archive_name(name) or not (self._folder / name).is_file():
            return None
        return self._read(self._folder / name)

    def find(self, name: str) -> Archive | None:
        """The archive of this name, to be registered. Raises Refused where that cannot be.

        None where the page does not see the folder, as one that runs elsewhere may not: then
        TorchServe, which does, has to judge.
        """
        if not self._folder.is_dir():
            return None
        found = self.get(name)
        problem = found.problem if found else "There is no such file in the model store."
        if problem:
            message = f"{name} cannot be registered. {problem}"
            raise Refused(message, code=404, type="NoSuchArchive")
        return found

    @contextmanager
    def part(self) -> Iterator[IO[bytes]]:
        """A temporary file in the folder, for an upload; gone afterwards."""
        self._sweep()
        try:
            file = tempfile.NamedTemporaryFile(dir=self._folder, prefix=PART)  # noqa: SIM115
        except OSError as error:
            raise unwritable(error) from error
        with file:
            yield file

    def accept(self, file: IO[bytes], name: str) -> Archive:
        """Check what was uploaded into a `part` and put it in its place, as a whole or not at all.

        Raises BadArchive, and ServiceError 400 for the name, 409 where it is taken.
        """
        check_name(name)
        file.flush()
        inspect(Path(file.name), self._max_bytes * EXPANSION)
        target = self._folder / name
        try:
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
            os.link(file.name, target)  # unlike a rename, it never replaces a file
        except FileExistsError as error:
            raise ServiceError(
                f"There is a {name} in the model store, and archives are never overwritten. "
                "Rename the file and send it again.",
                code=409,
                type="ArchiveExists",
            ) from error
        except OSError as error:
            raise unwritable(error) from error
        archive = self._read(target)
        assert archive is not None
        return archive

    def delete(self, name: str) -> None:
        """Remove an archive. Raises ServiceError: 404 where there is none, 507 where it stays."""
        try:
            (self._folder / name).unlink()
        except FileNotFoundError as error:
            raise ServiceError(
                f"There is no {name[:100]} in the model store. See the list of archives.",
                code=404,
                type="NoSuchArchive",
            ) from error
        except OSError as error:
            raise unwritable(error) from error

    @staticmethod
    def _read(path: Path) -> Archive | None:
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return _describe(path, found.st_size, found.st_mtime_ns, found.st_ino)

    def _sweep(self) -> None:
        for left in self._folder.glob(f"{PART}*"):
            try:
                if time.time() - left.stat().st_mtime > STALE_S:
                    left.unlink()
            except OSError:
                continue


def check_name(name: str) -> None:
    """Raise ServiceError 400 for a file name that is not to be in the model store."""
    if not is_archive_name(name):
        raise ServiceError(
            f"Expected a file name that ends with .mar and before that is {RULE}, got "
            f"{name[:100]!r}. Rename the file and send it again.",
            code=400,
            type="BadArchiveName",
        )


@lru_cache(maxsize=256)
def _describe(path: Path, size: int, modified: int, inode: int) -> Archive:
    """What a file of the model store is, without reading all of it.

    Remembered by `modified` and `inode` too: a file that was replaced is read again.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            model, version = check_manifest(archive)
            card = shown(read_json(archive, CARD))
            handler = handlers.version(archive)
    except BadArchive as error:
        return Archive(path.name, size, problem=error.message)
    except handlers.UNREADABLE:
        return Archive(path.name, size, problem="This file is no archive, or not all of one.")
    behind = handlers.is_behind(handler)
    ours = card is not None and handler is not None
    return Archive(path.name, size, model, version, ours, handler, behind, card)


def shown(card: dict[str, Any] | None) -> dict[str, Any] | None:
    """The part of a model card that is shown; None for none."""
    return {name: card[name] for name in SHOWN_OF_CARD if name in card} if card else None


def unwritable(error: OSError) -> ServiceError:
    """The error for a model store without space, or without the right to write there."""
    return ServiceError(
        f"The model store cannot be written ({error.strerror}). Free some space, or give the "
        "page's user the right to write there.",
        code=507,
        type="StoreUnwritable",
    )
