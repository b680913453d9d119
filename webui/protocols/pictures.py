"""Pictures as foreign requests carry them: in base64, as data URIs, or as addresses."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from webui.protocols import fetching
from webui.web.extensions import service
from webui.web.problem import BadUpload, too_large
from webui.web.settings import Settings

MOST = 16  # in one request
LINE_ENDS = ("\n", "\r")  # some tools wrap base64
DATA = re.compile(r"data:[\w.+-]*/?[\w.+-]*(?:;[\w.+=-]+)*,", re.ASCII)


def from_base64(text: object, where: str) -> bytes:
    """The picture that a text holds, bounded before it is decoded. Raises ServiceError."""
    if not isinstance(text, str):
        raise _bad(where, f"{type(text).__name__}")
    limit = service(Settings).max_upload_bytes
    if (match := DATA.match(text)) and match[0].endswith(";base64,"):
        text = text[match.end() :]
    if len(text) - sum(map(text.count, LINE_ENDS)) > (limit + 2) // 3 * 4:
        raise too_large(limit)
    for end in LINE_ENDS:
        text = text.replace(end, "")
    try:
        picture = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad(where, repr(text[:20])) from error
    if not picture:
        raise missing(where)
    if len(picture) > limit:
        raise too_large(limit)
    return picture


def from_address(address: object, where: str) -> bytes:
    """The picture of a data URI, or of an address on a listed host. Raises ServiceError."""
    if isinstance(address, str) and re.match("https?:", address, re.IGNORECASE):
        return fetching.fetch(address)
    if isinstance(address, str) and (match := DATA.match(address[:200])):
        if match[0].endswith(";base64,"):
            return from_base64(address, where)
        raise _bad(where, "a data URI without ';base64'")
    raise BadUpload(
        f"Expected a data URI such as data:image/jpeg;base64,… in {where}, got "
        f"{str(address)[:20]!r}. Send the picture itself.",
        type="InvalidImage",
    )


def missing(where: str) -> BadUpload:
    """The error for a request without a picture: this model does nothing but caption one."""
    return BadUpload(
        f"Expected a picture in {where}, got none. This model describes pictures and does not "
        "chat: send one with the request.",
        type="MissingImage",
    )


def read_all(given: object, where: str, read: Callable[[object, str], bytes]) -> list[bytes]:
    """All pictures of a list, or the one that is none; counted first. Raises ServiceError."""
    found = given if isinstance(given, list) else [given] if given else []
    check_number(len(found), where)
    return [read(one, where) for one in found]


def check_number(count: int, where: str) -> None:
    """Raise BadUpload for no picture, or for more than one request may have."""
    if not count:
        raise missing(where)
    if count > MOST:
        raise BadUpload(
            f"Expected at most {MOST} pictures in one request, got {count}. Send several requests.",
            type="SeveralImages",
        )


def _bad(where: str, came: str) -> BadUpload:
    return BadUpload(
        f"Expected a picture in base64 in {where}, got {came}. Encode the file's bytes and send "
        "them again.",
        type="InvalidImage",
    )
