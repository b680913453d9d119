"""PNG: chunks, of which those with pixels are copied as they are."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from basics.inscribing import tiff, xmp

SIGNATURE = 8
XMP = b"XML:com.adobe.xmp\0"
UNPACKED = b"\0\0\0\0"  # not compressed, by method 0, in no language, and its name in none

Chunk = tuple[bytes, bytes]  # name and content


def inscribe(picture: bytes, text: str) -> bytes:
    """The file with the caption in chunks before its pixels."""
    header, *chunks = _chunks(picture)
    old = next((content for name, content in chunks if name == b"eXIf"), b"")
    try:
        exif = tiff.with_description(old, text)
    except struct.error:
        exif = old  # damaged: readers do without it, and the caption stands in XMP too
    packet = xmp.with_caption(xmp_packet(picture), text)
    made = [header, (b"eXIf", exif), (b"iTXt", XMP + UNPACKED + packet)]
    kept = [one for one in chunks if one[0] != b"eXIf" and not _is_xmp(one)]
    return picture[:SIGNATURE] + b"".join(map(_written, [*made, *kept]))


def xmp_packet(picture: bytes) -> bytes | None:
    """The file's XMP, where it has any."""
    content = next((one[1] for one in _chunks(picture) if _is_xmp(one)), None)
    if content is None:
        return None
    packed = content[len(XMP)] == 1
    text = content[len(XMP) + 2 :].split(b"\0", 2)[2]
    if not packed:
        return text
    return zlib.decompressobj().decompress(text, xmp.MAX_BYTES + 1)


def _is_xmp(chunk: Chunk) -> bool:
    return chunk[0] == b"iTXt" and chunk[1].startswith(XMP)


def _chunks(picture: bytes) -> Iterator[Chunk]:
    place, name = SIGNATURE, b""
    while name != b"IEND":
        size, name = struct.unpack_from(">I4s", picture, place)
        if place + 12 + size > len(picture):
            raise struct.error("a chunk that is cut off")
        yield name, picture[place + 8 : place + 8 + size]
        place += 12 + size


def _written(chunk: Chunk) -> bytes:
    name, content = chunk
    check = zlib.crc32(name + content)
    return struct.pack(">I4s", len(content), name) + content + struct.pack(">I", check)
