"""Captions inside picture files, as other programs read them; no pixel is encoded again.

A caption is written as the alternative text and the description of XMP (IPTC Core's
`AltTextAccessibility`, Dublin Core's `description`), as Exif's `ImageDescription`, and, in JPEG and
TIFF, as IPTC-IIM's caption. What else a file says of itself stays.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from typing import TypeVar

from basics.inscribing import jpeg, png, tiff, webp, xmp
from basics.inscribing.errors import CannotInscribe

__all__ = ["FORMATS", "MAX_CHARACTERS", "CannotInscribe", "alt_text", "inscribe"]

FORMATS = "JPEG, PNG, WEBP and TIFF"
MAX_CHARACTERS = 2000
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML

T = TypeVar("T")
Inscribe = Callable[[bytes, str], bytes]
Read = Callable[[bytes], bytes | None]
KINDS: list[tuple[re.Pattern[bytes], Inscribe, Read]] = [
    (re.compile(rb"\xff\xd8\xff"), jpeg.inscribe, jpeg.xmp_packet),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), png.inscribe, png.xmp_packet),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), webp.inscribe, webp.xmp_packet),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), tiff.inscribe, tiff.xmp_packet),
]


def inscribe(picture: bytes, caption: str | None) -> bytes:
    """The picture's file with the caption in it, in place of one that it had.

    None is for decorative pictures: their alternative text is there and empty, as in `alt=""`.

    Raises CannotInscribe for other formats, damaged files and captions that are too long.
    """
    text = " ".join(UNWRITABLE.sub("", caption or "").split())
    if caption is not None and not 0 < len(text) <= MAX_CHARACTERS:
        raise CannotInscribe(
            f"Expected a caption of 1 to {MAX_CHARACTERS} characters, got {len(text)}."
        )
    for magic, write, _ in KINDS:
        if magic.match(picture):
            return _guarded(write, picture, text)
    raise CannotInscribe(
        f"Captions can be written into {FORMATS} pictures; this is none. Convert it first, or keep "
        "its caption in a file beside it."
    )


def alt_text(picture: bytes) -> str | None:
    """A picture's alternative text, "" of a decorative one; None where none can be read."""
    for magic, _, read in KINDS:
        if magic.match(picture):
            try:
                return xmp.alt_text(_guarded(read, picture))
            except CannotInscribe:
                return None
    return None


def _guarded(work: Callable[..., T], *given: object) -> T:
    try:
        return work(*given)
    except (struct.error, IndexError, OverflowError, zlib.error) as error:
        raise CannotInscribe("The picture's file is damaged. Save it again.") from error
