"""WebP: chunks in a RIFF file, of which those with pixels are copied as they are."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from basics.inscribing import tiff, xmp
from basics.inscribing.errors import CannotInscribe

HEADER = 12
HAS_ALPHA, HAS_EXIF, HAS_XMP = 0x10, 0x08, 0x04
EXIF = b"Exif\0\0"  # before the Exif of some writers, as in a JPEG

Chunk = tuple[bytes, bytes]  # name and content


def inscribe(picture: bytes, text: str) -> bytes:
    """The file, in WebP's extended form, with the caption in chunks after its pixels."""
    chunks = [*_chunks(picture)]
    if chunks[0][0] != b"VP8X":
        chunks.insert(0, (b"VP8X", _extended(*chunks[0])))
    flags = chunks[0][1][0] | HAS_EXIF | HAS_XMP
    old = next((content for name, content in chunks if name == b"EXIF"), b"")
    try:
        exif = tiff.with_description(old.removeprefix(EXIF), text)
    except struct.error:
        exif = old  # damaged: readers do without it, and the caption stands in XMP too
    packet = xmp.with_caption(xmp_packet(picture), text)
    kept = [one for one in chunks[1:] if one[0] not in (b"EXIF", b"XMP ")]
    made = [(b"VP8X", bytes([flags]) + chunks[0][1][1:]), *kept, (b"EXIF", exif)]
    body = b"WEBP" + b"".join(map(_written, [*made, (b"XMP ", packet)]))
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def xmp_packet(picture: bytes) -> bytes | None:
    """The file's XMP, where it has any."""
    return next((content for name, content in _chunks(picture) if name == b"XMP "), None)


def _extended(name: bytes, content: bytes) -> bytes:
    """What the extended form says first, from the header of a simple file's only chunk."""
    flags = 0
    if name == b"VP8 ":
        width, height = (int(side) & 0x3FFF for side in struct.unpack_from("<HH", content, 6))
    elif name == b"VP8L":
        bits = int.from_bytes(content[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags = HAS_ALPHA if bits >> 28 & 1 else 0
    else:
        raise CannotInscribe("The WEBP picture's file is damaged. Save it again.")
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes([flags, 0, 0, 0]) + sides


def _chunks(picture: bytes) -> Iterator[Chunk]:
    place = HEADER
    (size,) = struct.unpack_from("<I", picture, 4)
    if size + 8 > len(picture):
        raise struct.error("a file that is cut off")
    while place < size + 8:
        name, length = struct.unpack_from("<4sI", picture, place)
        yield name, picture[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def _written(chunk: Chunk) -> bytes:
    name, content = chunk
    return struct.pack("<4sI", name, len(content)) + content + b"\0" * (len(content) % 2)
