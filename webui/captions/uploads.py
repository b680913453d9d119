"""The picture and the options of a request, for the API and the form alike."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask import request

from webui.web.extensions import service
from webui.web.names import is_name
from webui.web.problem import BadUpload, too_large
from webui.web.settings import Settings

FIELD = "image"
OPTIONS = ("beam_size", "num_captions", "max_length")
CHOICES = {"people": ("named", "neutral"), "alternatives": ("likely", "different")}


@dataclass(frozen=True)
class Upload:
    """One encoded picture and the options that were given.

    The handler has the options' ranges and defaults; an empty field counts as not given.
    """

    picture: bytes
    options: dict[str, int | str]
    version: str | None = None  # of the model; None: whichever the service chooses


def read() -> Upload:
    """Read the current request. Raises BadUpload, and the 413 of the error table."""
    sent = [(file.filename, file.read()) for file in request.files.getlist(FIELD)]
    files = [picture for name, picture in sent if name or picture]
    if not files:
        raise BadUpload(
            f"Expected one picture in the multipart/form-data field '{FIELD}', got none. "
            "Choose a picture and send it again.",
            type="MissingImage",
        )
    if len(files) > 1:
        raise BadUpload(
            f"Expected one picture in the field '{FIELD}', got {len(files)}. Send them one by one.",
            type="SeveralImages",
        )
    picture = files[0]
    if not picture:
        raise BadUpload(
            "Expected a picture, got an empty file. Check the file and send it again.",
            type="MissingImage",
        )
    limit = service(Settings).max_upload_bytes
    if len(picture) > limit:
        raise too_large(limit)
    options: dict[str, int | str] = {
        name: _whole(name) for name in OPTIONS if request.form.get(name)
    }
    options |= {name: _choice(name) for name in CHOICES if request.form.get(name)}
    return Upload(picture, options, _version())


def _version() -> str | None:
    value = request.form.get("version", "").strip()
    if value and not is_name(value):
        raise BadUpload(
            f"Expected a version such as 1.1, got {value[:20]!r}. GET /api/versions lists them; "
            "leave it out for the default.",
            type="InvalidOption",
        )
    return value or None


def _choice(name: str) -> str:
    value = request.form[name].strip()
    if value not in CHOICES[name]:
        raise BadUpload(
            f"Expected {' or '.join(CHOICES[name])} for {name}, got {value[:20]!r}. Correct it or "
            "leave it out.",
            type="InvalidOption",
        )
    return value


def _whole(name: str) -> int:
    value = request.form[name].strip()
    # The value becomes a header to TorchServe, so nothing but ASCII digits may pass.
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise BadUpload(
            f"Expected a whole number for {name}, got {value[:20]!r}. Correct it or leave it out.",
            type="InvalidOption",
        )
    return int(value)
