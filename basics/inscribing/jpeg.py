"""JPEG: segments before the compressed picture, which is copied as it is."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from basics.inscribing import iptc, tiff, xmp
from basics.inscribing.errors import CannotInscribe

EXIF, XMP, PHOTOSHOP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0"
OURS = ((0xE1, EXIF), (0xE1, XMP), (0xED, PHOTOSHOP))
INDEX = (0xE2, b"MPF\0")  # of further pictures in the file, by their distance from here
MAX_BYTES = 65_533  # in a segment
APP0, SCAN, END = 0xE0, 0xDA, 0xD9

Segment = tuple[int, bytes]  # marker and content


def inscribe(picture: bytes, text: str) -> bytes:
    """The file with the caption in its segments."""
    segments, rest = _split(picture)
    first = next((n for n, (marker, _) in enumerate(segments) if marker != APP0), len(segments))
    made: list[Segment] = []
    old_exif = _joined(segments, *OURS[0])[: MAX_BYTES - len(EXIF)]
    try:
        exif = tiff.with_description(old_exif, text)
    except struct.error:
        exif = old_exif  # damaged: readers do without it, and the caption stands elsewhere too
    packet = xmp.with_caption(_joined(segments, *OURS[1]) or None, text)
    for start, content in ((EXIF, exif), (XMP, packet)):
        if len(start + content) > MAX_BYTES:
            raise CannotInscribe(
                "The picture's metadata leaves no room for a caption. Remove some of it."
            )
        made.append((0xE1, start + content))
    block = iptc.in_photoshop(_joined(segments, *OURS[2]), text)
    size = MAX_BYTES - len(PHOTOSHOP)
    pieces = range(0, len(block), size)
    made += [(0xED, PHOTOSHOP + block[place : place + size]) for place in pieces]
    _check_index(segments)
    kept = [one for one in segments[first:] if not _is_ours(one)]
    return b"\xff\xd8" + b"".join(map(_written, [*segments[:first], *made, *kept])) + rest


def xmp_packet(picture: bytes) -> bytes | None:
    """The file's XMP, where it has any."""
    return _joined(_split(picture)[0], *OURS[1]) or None


def _split(picture: bytes) -> tuple[list[Segment], bytes]:
    """The segments before the first scan, and all from there on."""
    segments = [*_segments(picture)]
    return segments, picture[2 + sum(4 + len(content) for _, content in segments) :]


def _segments(picture: bytes) -> Iterator[Segment]:
    place = 2
    while True:
        mark, marker, size = struct.unpack_from(">BBH", picture, place)
        if mark != 0xFF or marker in (END, 0xFF) or size < 2 or place + 2 + size > len(picture):
            raise struct.error("no segment where one is due")
        if marker == SCAN:
            return
        yield marker, picture[place + 4 : place + 2 + size]
        place += 2 + size


def _is_ours(segment: Segment) -> bool:
    return any(segment[0] == marker and segment[1].startswith(start) for marker, start in OURS)


def _joined(segments: list[Segment], marker: int, start: bytes) -> bytes:
    found = [c[len(start) :] for m, c in segments if m == marker and c.startswith(start)]
    return b"".join(found if start == PHOTOSHOP else found[:1])


def _check_index(segments: list[Segment]) -> None:
    """Refuse where removing a segment would change a distance that the file's index tells."""
    indexed = False
    for segment in segments:
        indexed |= segment[0] == INDEX[0] and segment[1].startswith(INDEX[1])
        if indexed and _is_ours(segment):
            raise CannotInscribe(
                "The picture's file holds several pictures and its metadata stands after their "
                "index. Save the picture alone."
            )


def _written(segment: Segment) -> bytes:
    marker, content = segment
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
