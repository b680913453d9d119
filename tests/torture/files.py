"""Picture files taken apart into their pieces and put together again, whatever became of those.

What a format says of its pieces, their lengths and checksums, is written anew, so that a changed
piece reaches the code that reads it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Piece(NamedTuple):
    """A segment, chunk, block or box: its name where it has one, and what is in it."""

    name: bytes
    body: bytes


_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_BARE = (b"\xff\xd8", b"\xff\xd9")  # markers without a length


def _jpeg(data: bytes) -> Iterator[Piece]:
    """The segments, and between them coded pixels without a name."""
    place = 0
    while place < len(data):
        marker = data[place : place + 2]
        if marker in _BARE:
            end = place + 2
        elif _MARKER.match(data, place):
            end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
            yield Piece(marker, data[place + 4 : end])
            place = end
            continue
        else:
            found = _MARKER.search(data, place)
            end = found.start() if found else len(data)
        yield Piece(b"", data[place:end])
        place = end


def _join_jpeg(pieces: list[Piece]) -> bytes:
    return b"".join(
        name + struct.pack(">H", min(len(body) + 2, 65_535)) + body if name else body
        for name, body in pieces
    )


_PNG = b"\x89PNG\r\n\x1a\n"


def _png(data: bytes) -> Iterator[Piece]:
    place = len(_PNG)
    while place < len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        yield Piece(name, data[place + 8 : place + 8 + length])
        place += 12 + length


def _join_png(pieces: list[Piece]) -> bytes:
    return _PNG + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in pieces
    )


def _gif(data: bytes) -> Iterator[Piece]:
    """The screen with its palette, the heads of extensions and images, and their sub-blocks."""

    def palette(flags: bytes) -> int:
        return 3 << (1 + (flags[0] & 7)) if flags and flags[0] & 0x80 else 0

    place = 13 + palette(data[10:11])
    yield Piece(b"", data[:place])
    while place < len(data):
        blocks = data[place] in (0x21, 0x2C)
        head = {0x21: 2, 0x2C: 11 + palette(data[place + 9 : place + 10])}.get(data[place], 1)
        yield Piece(b"", data[place : place + head])
        place += head
        while blocks:
            blocks = data[place] > 0
            yield Piece(b"", data[place : place + 1 + data[place]])
            place += 1 + data[place]


def _webp(data: bytes) -> Iterator[Piece]:
    place = 12
    while place < len(data):
        name, length = struct.unpack_from("<4sI", data, place)
        yield Piece(name, data[place + 8 : place + 8 + length])
        place += 8 + length + length % 2


def _join_webp(pieces: list[Piece]) -> bytes:
    chunks = b"WEBP" + b"".join(
        name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2) for name, body in pieces
    )
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _boxes(data: bytes) -> Iterator[Piece]:
    """The boxes of HEIC and AVIF."""
    place = 0
    while place < len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        length = length or len(data) - place
        yield Piece(name, data[place + 8 : place + length])
        place += length


def _join_boxes(pieces: list[Piece]) -> bytes:
    return b"".join(struct.pack(">I", 8 + len(body)) + name + body for name, body in pieces)


NESTED = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6}  # what comes before the boxes in these


def _tiff(data: bytes) -> Iterator[Piece]:
    """What is before the first directory, each of its tags, and the rest."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    places = [0, start, *range(start + 2, start + 3 + 12 * count, 12), len(data)]
    for place, end in zip(places, places[1:], strict=False):
        yield Piece(b"", data[place:end])


def _bmp(data: bytes) -> Iterator[Piece]:
    """Each number of the header, and the rest."""
    places = [0, 2, *range(6, 55, 4), len(data)]
    for place, end in zip(places, places[1:], strict=False):
        yield Piece(b"", data[place:end])


def _join(pieces: list[Piece]) -> bytes:
    return b"".join(body for _, body in pieces)


_Form = tuple[Callable[[bytes], Iterator[Piece]], Callable[[list[Piece]], bytes]]
FORMS: dict[str, _Form] = {
    "JPEG": (_jpeg, _join_jpeg),
    "PNG": (_png, _join_png),
    "GIF": (_gif, _join),
    "WEBP": (_webp, _join_webp),
    "BMP": (_bmp, _join),
    "TIFF": (_tiff, _join),
    "HEIC": (_boxes, _join_boxes),
    "AVIF": (_boxes, _join_boxes),
}


def split(kind: str, data: bytes) -> list[Piece]:
    """The pieces of a sound file."""
    return list(FORMS[kind][0](data))


def join(kind: str, pieces: list[Piece]) -> bytes:
    """A file of these pieces."""
    return FORMS[kind][1](pieces)
