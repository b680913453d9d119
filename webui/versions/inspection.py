"""What an archive must be to be served: whole, with a manifest, and nothing outside its folder."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from webui.torchserve import handlers
from webui.web.names import RULE, is_name
from webui.web.problem import ServiceError
from webui.web.settings import MEBIBYTE

MANIFEST = "MAR-INF/MANIFEST.json"
TEXT_BYTES = 256 * 1024  # of a manifest or a card
ENTRIES = 10_000


class BadArchive(ServiceError):
    """A file that TorchServe could not serve, or that should not be unpacked."""

    code = 422
    type = "BadArchive"


def inspect(path: Path, max_unpacked: int) -> tuple[str, str]:
    """Model and version of a whole, sound archive. Raises BadArchive.

    These are checks against mistakes: whoever may register an archive may run code anyway.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(entries, max_unpacked)
            model, version = check_manifest(archive)
            damaged = archive.testzip()
    except handlers.UNREADABLE as error:
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


def check_manifest(archive: zipfile.ZipFile) -> tuple[str, str]:
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
    manifest = read_json(archive, MANIFEST)
    model = manifest.get("model") if manifest else None
    if not isinstance(model, dict):
        raise BadArchive(
            f"Expected {MANIFEST} with the member 'model' in the archive, got none. Make the "
            "archive with `python -m training.archive` or torch-model-archiver."
        )
    return model


def read_json(archive: zipfile.ZipFile, name: str) -> dict[str, Any] | None:
    """A JSON object in the archive, or None where there is none of a sensible size."""
    try:
        if archive.getinfo(name).file_size > TEXT_BYTES:
            return None
        content = json.loads(archive.read(name))
    except (KeyError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
