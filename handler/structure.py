"""What a picture's file is made of, counted before anything is decoded.

A small file may hold so many segments, chunks, scans or strips that walking them takes minutes: it
is refused, by counts that are the same on every machine. Honest files stay far below them, and
what is left decodes in about two seconds at the most. Every walk here is linear and stops at its
limit. Damage is left to the decoders to find.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from handler.errors import TooComplex

# Pillow asks for each segment, chunk, block and strip two or three times. 16 MiB in the smallest
# honest pieces, a GIF's 255 bytes, are 65,793 of them.
MAX_READS = 250_000
# A progressive JPEG has some 10 scans, the most thorough encoders write 60. Each may visit every
# block of the picture for a handful of bytes: a hundred take a second at 67 megapixels. libtiff
# allows a JPEG inside a TIFF as many.
MAX_SCANS = 100
# With more than these a JPEG is decoded by Pillow alone, rather than by simplejpeg first and, where
# that meets damage, by Pillow again. A lossless one may not have more: each visits every pixel.
_FEW_SCANS = 20
# Frames that libjpeg can reduce while it decodes. A lossless one it cannot, and simplejpeg, which
# takes it for reduced, would write the whole of it into a buffer that is too small.
_SCALABLE = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
# Exif belongs into one segment of 64 KiB; Pillow joins several, each time copying them all.
MAX_EXIF_SEGMENTS = 16
# Larger than any real one; Pillow makes an object of every number in it.
MAX_EXIF_BYTES = 2**20
# Pieces that are looked at by ourselves.
MAX_PIECES = 65_793

# Above this, Pillow itself would warn of a decompression bomb.
_PILLOW_PIXELS = 89_000_000
AGAIN = "Save it again and resend it."
# Markers of a JPEG that a length follows, and the end.
_MARKER = re.compile(rb"\xff[^\x00\x01\xc8\xd0-\xd8\xf0-\xfd\xff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused before any pixel is decoded."""

    max_bytes: int = 16 * 2**20  # of the file
    max_pixels: int = 67_000_000  # width x height: a 64-megapixel camera's 9248 x 6944 fits
    max_side: int = 65_535  # width or height, a JPEG's own limit: a row has a price of its own

    def __post_init__(self) -> None:
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes is {self.max_bytes}; at least 1 is needed")
        if not 1 <= self.max_pixels <= _PILLOW_PIXELS:
            raise ValueError(f"max_pixels is {self.max_pixels}; 1 to {_PILLOW_PIXELS} is accepted")
        if self.max_side < 1:
            raise ValueError(f"max_side is {self.max_side}; at least 1 is needed")


DEFAULT_LIMITS = Limits()


class JpegKind(NamedTuple):
    """How a JPEG may be decoded."""

    scalable: bool = True  # libjpeg may leave out detail
    directly: bool = True  # simplejpeg may be tried first


class CountedFile(io.BytesIO):
    """A file in memory that refuses to be read in too many pieces, whatever they are."""

    _left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise TooComplex(f"The picture's file is made of too many small pieces. {AGAIN}")
        return super().read(size)


def check_jpeg(data: bytes | bytearray) -> JpegKind:
    """Count the segments of Exif and the scans; return how the picture may be decoded."""
    segments = scans = exif = frames = 0
    single, components = False, 0  # of the frame: whether its first scan may be the only one
    scalable = True
    place = 2
    while found := _MARKER.search(data, place):
        place = found.end()
        marker = data[place - 1]
        if marker == 0xD9:
            if scans:
                break
            continue  # Pillow reads on
        segments += 1
        length = int.from_bytes(data[place : place + 2], "big")
        if marker == 0xDA:
            scans += 1
            _limit("JPEG", "scans", scans, MAX_SCANS if scalable else _FEW_SCANS)
            # libjpeg refuses what follows. To look for it would take longer than all the rest.
            if single and frames == 1 and data[place + 2 : place + 3] == bytes((components,)):
                break
        elif marker == 0xE1:
            exif += data[place + 2 : place + 8] == b"Exif\0\0"
            _limit("JPEG", "segments of Exif", exif, MAX_EXIF_SEGMENTS)
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xCC):
            frames += 1
            single = marker in (0xC0, 0xC1)
            scalable &= marker in _SCALABLE
            components = next(iter(data[place + 7 : place + 8]), 0)
        _limit("JPEG", "segments", segments, MAX_PIECES)
        place += length
    return JpegKind(scalable, scalable and frames == 1 and scans <= _FEW_SCANS)


# What of a PNG's auxiliary chunks is used: transparency, and the texts that may say which way up
# the picture is. Profiles, dates, prompts and workflows of any size are never unpacked.
_USED = (b"tRNS", b"eXIf")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_TURNING = (b"exif\0", b"Raw profile type exif\0", b"XML:com.adobe.xmp\0", b"xmp\0")
_MAX_TURNING = 4  # of which the last would count
_MAX_KEYWORD = 80


def strip_png(data: bytes | bytearray) -> bytes | bytearray:
    """Count the chunks; return the file without those that a caption has no use for."""
    kept: list[memoryview] = []
    view, start, place, turning = memoryview(data), 0, 8, 0
    for count, (name, end) in enumerate(_chunks(data), 1):
        _limit("PNG", "chunks", count, MAX_PIECES)
        used = not name[0] & 0x20 or name in _USED
        if name in _TEXTS and turning < _MAX_TURNING:
            used = _may_turn(name, data[place + 8 : place + 8 + _MAX_KEYWORD], view[place:end])
            turning += used
        if not used or (name == b"eXIf" and end - place > MAX_EXIF_BYTES):
            kept.append(view[start:place])
            start = end
        place = end
    return b"".join((*kept, view[start:])) if kept else data


def _chunks(data: bytes | bytearray) -> Iterator[tuple[bytes, int]]:
    """Yield each whole chunk's name and its end, up to the last one or to damage."""
    place, name = 8, b""
    while name != b"IEND" and place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        place += 12 + length
        if place > len(data) or not name.isalpha():
            return
        yield name, place


def _may_turn(name: bytes, head: bytes | bytearray, chunk: memoryview) -> bool:
    """Whether a text may tell the orientation, and unpacks to what Pillow accepts."""
    if not head.startswith(_TURNING) or len(chunk) > MAX_EXIF_BYTES:
        return False
    body = bytes(chunk[8:-4])
    packed = b""
    if name == b"zTXt":
        packed = body.partition(b"\0")[2][1:]
    elif name == b"iTXt" and body.partition(b"\0")[2][:1] == b"\1":
        packed = body.partition(b"\0")[2][2:].split(b"\0", 2)[-1]
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed, MAX_EXIF_BYTES)
    except zlib.error:
        return False
    return not unpacker.unconsumed_tail


# A row a strip is the most that is written, for sides of up to 65,535.
MAX_STRIPS = 2**16
# The tags of a directory; camera makers use up to 300. libtiff sorts them anew for each it lacks.
MAX_TAGS = 2_000
# Numbers in the tags of a directory, but for the tables of strips. A fraction counts as many,
# because Pillow makes an object of each. A palette of 16 bits has 196,608.
MAX_NUMBERS = 2**20
_FRACTION = 16
# What all strips together may claim to have in bytes. They may share some (empty tiles do).
MAX_STRIP_BYTES = 64 * 2**20

_WIDTH, _HEIGHT, _ROWS, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 278, 284, 322, 323
_SAMPLES = 277
_OFFSETS, _COUNTS = (273, 324), (279, 325)
_SHAPE = (_WIDTH, _HEIGHT, _ROWS, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _SAMPLES)
_POINTERS = (34665, 34853, 40965)  # to the directories of Exif, GPS and interoperability
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q"}
_BYTES, _FRACTIONS = (1, 2, 6, 7), (5, 10)


def check_tiff(data: bytes | bytearray) -> None:
    """Count the first directory's tags, numbers and strips, and what its strips claim."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"\x2b\0", b"\0\x2b")
    try:
        (first,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        tags = _directory(data, first, order, big)
        _check_strips(data, tags, order)
        waiting = [one for tag in _POINTERS for one in _numbers(data, tags.get(tag), order, 1)]
        for offset in waiting[:8]:
            inner = _directory(data, offset, order, big)
            waiting += _numbers(data, inner.get(_POINTERS[-1]), order, 1)
    except (struct.error, OverflowError):  # damage, which the decoder finds as well
        return


_Tag = tuple[int, int, int]  # type, how many values, and where those are


def _directory(data: bytes | bytearray, place: int, order: str, big: bool) -> dict[int, _Tag]:
    """Read the tags of one directory, and count what is in them."""
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, place)
    _limit("TIFF", "tags", count, MAX_TAGS)
    entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
    place += 8 if big else 2
    tags: dict[int, _Tag] = {}
    numbers = 0
    for _ in range(count):
        if place + entry.size > len(data):
            break
        tag, kind, values, offset = entry.unpack_from(data, place)
        width = struct.calcsize(f"={_INTEGERS.get(kind, 'Q')}")
        inline = values * width <= (8 if big else 4)
        if tag in tags and tag in (*_SHAPE, *_OFFSETS, *_COUNTS):
            raise TooComplex(f"The TIFF picture has tag {tag} twice. {AGAIN}")
        tags.setdefault(
            tag, (kind, values, place + entry.size - (8 if big else 4) if inline else offset)
        )
        if kind not in _BYTES and tag not in (*_OFFSETS, *_COUNTS):
            numbers += values * (_FRACTION if kind in _FRACTIONS else 1)
        place += entry.size
    _limit("TIFF", "numbers in its tags", numbers, MAX_NUMBERS)
    return tags


def _numbers(data: bytes | bytearray, tag: _Tag | None, order: str, most: int) -> tuple[int, ...]:
    if tag is None or tag[0] not in _INTEGERS:
        return ()
    kind, count, place = tag
    return struct.unpack_from(f"{order}{min(count, most)}{_INTEGERS[kind]}", data, place)


def _check_strips(data: bytes | bytearray, tags: dict[int, _Tag], order: str) -> None:
    shape = {tag: next(iter(_numbers(data, tags.get(tag), order, 1)), 0) for tag in _SHAPE}
    width, height = shape[_WIDTH], shape[_HEIGHT]
    tiled = _OFFSETS[0] not in tags
    across = -(-width // max(1, shape[_TILE_WIDTH])) if tiled else 1
    down = -(-height // max(1, shape[_TILE_HEIGHT] if tiled else shape[_ROWS] or height))
    needed = max(1, across * down * (max(1, shape[_SAMPLES]) if shape[_PLANAR] == 2 else 1))
    for tag in (*_OFFSETS, *_COUNTS):
        if tag in tags:
            _limit("TIFF", "strips or tiles", tags[tag][1], min(needed, MAX_STRIPS))
            if tag in _COUNTS:
                claimed = sum(_numbers(data, tags[tag], order, MAX_STRIPS))
                _limit("TIFF", "bytes in its strips", claimed, MAX_STRIP_BYTES)


def _limit(name: str, what: str, count: int, most: int) -> None:
    if count > most:
        raise TooComplex(f"The {name} picture has more {what} than it may have ({most}). {AGAIN}")
