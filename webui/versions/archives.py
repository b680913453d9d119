"""The archives in the model store: what they are, and how a new one is added."""

from __future__ import annotations

import json
import os
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

from webui.administrator.audit import Refused
from webui.web.names import RULE, is_archive_name, is_name
from webui.web.problem import ServiceError
from webui.web.settings import MEBIBYTE

MANIFEST = "MAR-INF/MANIFEST.json"
CARD = "model_card.json"
OURS = (CARD, "handler/caption_handler.py")  # what an archive of this repository has
TEXT_BYTES = 256 * 1024  # of a manifest or a card
ENTRIES = 10_000
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
)


class BadArchive(ServiceError):
    """A file that TorchServe could not serve, or that should not be unpacked."""

    code = 422
    type = "BadArchive"


@dataclass(frozen=True)
class Archive:
    """One archive of the model store; `problem` says why it cannot be registered."""

    name: str
    size_bytes: int
    model: str | None = None
    version: str | None = None
    ours: bool = False  # has a card and this repository's handler
    card: dict[str, Any] | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The form in which the API answers."""
        return asdict(self)


class Store:
    """The folder of the archives, which the page reads and adds to, and never removes from."""

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


def inspect(path: Path, max_unpacked: int) -> tuple[str, str]:
    """Model and version of a whole, sound archive. Raises BadArchive.

    These are checks against mistakes: whoever may register an archive may run code anyway.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(entries, max_unpacked)
            model, version = _check_manifest(archive)
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise BadArchive(
            "Expected a model archive (a zip file that torch-model-archiver or `python -m "
            "training.archive` makes), got something else or not all of it. Send it again.",
            code=415,
            type="NotAnArchive",
        ) from error
    if damaged is not None:
        raise BadArchive(f"{damaged[:100]} in the archive is damaged. Make it again.")
    return model, version


def _check_entries(entries: list[zipfile.ZipInfo], max_unpacked: int) -> None:
    if len(entries) > ENTRIES:
        raise BadArchive(f"The archive has {len(entries)} files; {ENTRIES} are accepted.")
    if (size := sum(entry.file_size for entry in entries)) > max_unpacked:
        raise BadArchive(
            f"The archive unpacks to {size / MEBIBYTE:.0f} MB; at most "
            f"{max_unpacked / MEBIBYTE:.0f} MB are accepted. Raise CAPTIONIZE_MAX_ARCHIVE_MB."
        )
    for entry in entries:
        parts = PurePosixPath(entry.filename).parts
        outside = entry.filename.startswith("/") or ".." in parts or "\\" in entry.orig_filename
        if outside or stat.S_ISLNK(entry.external_attr >> 16) or entry.flag_bits & 1:
            raise BadArchive(
                f"The archive holds {entry.filename[:100]!r}, which is a link, encrypted or lies "
                "outside of its folder. Make it with `python -m training.archive`."
            )


def _check_manifest(archive: zipfile.ZipFile) -> tuple[str, str]:
    model = _manifest(archive)
    name, version = str(model.get("modelName")), str(model.get("modelVersion"))
    for what, value in (("modelName", name), ("modelVersion", version)):
        if not is_name(value):
            raise BadArchive(
                f"{what} in {MANIFEST}: expected {RULE}, got {value[:100]!r}. Pack the archive "
                "again."
            )
    files = {"handler": str(model.get("handler", "")).split(":")[0]}
    if "serializedFile" in model:
        files["serializedFile"] = str(model["serializedFile"])
    for what, file in files.items():
        if not file or file not in archive.namelist():
            raise BadArchive(
                f"{what} in {MANIFEST}: expected a file that is in the archive, got "
                f"{file[:100]!r}. Pack the archive again."
            )
    return name, version


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    """The manifest's part about the model. Raises BadArchive."""
    manifest = _json(archive, MANIFEST)
    model = manifest.get("model") if manifest else None
    if not isinstance(model, dict):
        raise BadArchive(
            f"Expected {MANIFEST} with the member 'model' in the archive, got none. Make the "
            "archive with `python -m training.archive` or torch-model-archiver."
        )
    return model


def _json(archive: zipfile.ZipFile, name: str) -> dict[str, Any] | None:
    """A JSON object in the archive, or None where there is none of a sensible size."""
    try:
        if archive.getinfo(name).file_size > TEXT_BYTES:
            return None
        content = json.loads(archive.read(name))
    except (KeyError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


@lru_cache(maxsize=256)
def _describe(path: Path, size: int, modified: int, inode: int) -> Archive:
    """What a file of the model store is, without reading all of it.

    Remembered by `modified` and `inode` too: a file that was replaced is read again.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            model, version = _check_manifest(archive)
            card = shown(_json(archive, CARD))
    except BadArchive as error:
        return Archive(path.name, size, problem=error.message)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError):
        return Archive(path.name, size, problem="This file is no archive, or not all of one.")
    return Archive(path.name, size, model, version, names.issuperset(OURS), card)


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
