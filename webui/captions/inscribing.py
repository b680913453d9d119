"""Pictures with their captions written into them, as a ZIP that is made while it is sent."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import NamedTuple

from flask import Response, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from basics.inscribing import CannotInscribe, inscribe
from webui.web.extensions import service
from webui.web.problem import BadUpload, ServiceError, too_large
from webui.web.settings import MEBIBYTE, Settings

PICTURE, CAPTION = "image", "caption"
MOST = 200  # pictures in a request
TEXT_BYTES = 2 * MEBIBYTE  # of all captions
PICTURE_BYTES = 64 * MEBIBYTE  # each is in memory while it is written
LEFT_OUT = "left-out.txt"
_turns = threading.BoundedSemaphore(2)  # so that memory and disk are bounded, too


class _Pair(NamedTuple):
    name: str  # in the ZIP
    picture: FileStorage
    caption: str


def answer() -> Response:
    """The current request's pictures with its captions in them.

    Raises ServiceError, before anything is read of a request that has to wait.
    """
    if not _turns.acquire(blocking=False):
        raise ServiceError(
            "Other pictures are being written just now. Try again in a few seconds.",
            code=503,
            type="Busy",
            retry_after_s=3,
        )
    try:
        pairs = _read()
    except BaseException:
        _turns.release()
        raise
    # The pictures' files outlive the request, which would close them: the answer does, at its end.
    vars(request._get_current_object()).pop("files")  # type: ignore[attr-defined]
    made = Response(_zip(pairs), mimetype="application/zip")
    made.headers["Content-Disposition"] = "attachment; filename=captioned.zip"
    made.call_on_close(lambda: _end(pairs))
    return made


def _end(pairs: Sequence[_Pair]) -> None:
    _turns.release()
    for pair in pairs:
        pair.picture.close()


def _read() -> list[_Pair]:
    limit_mb = service(Settings).max_zip_mb
    request.max_content_length = int(limit_mb * MEBIBYTE)
    request.max_form_memory_size = TEXT_BYTES
    request.max_form_parts = 2 * MOST
    try:
        pictures, captions = request.files.getlist(PICTURE), request.form.getlist(CAPTION)
    except RequestEntityTooLarge as error:
        message = f"Expected at most {MOST} pictures and {limit_mb:g} MB, got more. Send fewer."
        raise ServiceError(message, code=413, type="BodyTooLarge") from error
    if not pictures or len(pictures) != len(captions):
        raise BadUpload(
            f"Expected as many fields '{CAPTION}' as pictures in '{PICTURE}', in the same order, "
            f"got {len(captions)} and {len(pictures)}. Send a caption for each picture.",
            type="MissingImage" if not pictures else "MissingCaption",
        )
    names = _names([picture.filename or "picture" for picture in pictures])
    return [_Pair(*one) for one in zip(names, pictures, captions, strict=True)]


def _names(given: Sequence[str]) -> Iterator[str]:
    """The files' own names, without folders, each once."""
    used: Counter[str] = Counter({LEFT_OUT: 1})
    for one in given:
        path = PurePath("".join(c for c in one.replace("\\", "/") if c.isprintable()))
        name = path.name if path.name.strip(".") else "picture"
        used[name.casefold()] += 1
        if (count := used[name.casefold()]) > 1:
            name = f"{path.stem} ({count}){path.suffix}"
            used[name.casefold()] += 1
        yield name


class _Sent(io.RawIOBase):
    """What a ZIP is written to: bytes on their way to the client."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self._bytes += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken


def _zip(pairs: Sequence[_Pair]) -> Iterator[bytes]:
    """The ZIP in pieces, one for each picture; its last file says which are left out, and why."""
    sent, left_out = _Sent(), []
    with zipfile.ZipFile(sent, "w") as archive:  # stored: pictures are packed already
        for name, picture, caption in pairs:
            try:
                archive.writestr(_entry(name), _inscribed(picture, caption))
            except (CannotInscribe, ServiceError) as error:
                left_out.append(f"{name}: {error}\n")
            yield sent.take()
        if left_out:
            archive.writestr(_entry(LEFT_OUT), "".join(left_out))
    yield sent.take()


def _inscribed(picture: FileStorage, caption: str) -> bytes:
    data = picture.stream.read(PICTURE_BYTES + 1)
    if len(data) > PICTURE_BYTES:
        raise too_large(PICTURE_BYTES)
    return inscribe(data, caption or None)


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, date_time=time.localtime()[:6])
