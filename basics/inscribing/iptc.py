"""IPTC-IIM, the older form of a picture's caption, and the block of a JPEG that holds it."""

from __future__ import annotations

import struct
from collections.abc import Iterator

CAPTION, RECORD_VERSION, CHARACTERS = (2, 120), (2, 0), (1, 90)
UTF8 = b"\x1b%G"
MAX_BYTES = 2000  # of a caption
IIM, DIGEST = 0x0404, 0x0425  # a digest of what the block held before would be wrong

DataSet = tuple[tuple[int, int], bytes]


def with_caption(iim: bytes, text: str) -> bytes:
    """The data sets with this caption and none that they had.

    Where they are in another encoding than UTF-8 and the text needs one, there is then no caption:
    XMP has it, in an encoding that is certain.
    """
    kept = [one for one in _data_sets(iim) if one[0] not in (CAPTION, RECORD_VERSION)]
    caption = text.encode()[:MAX_BYTES].decode(errors="ignore").encode()
    declared = dict(kept).get(CHARACTERS)
    if not caption.isascii() and declared != UTF8:
        if declared is None and all(value.isascii() for _, value in kept):
            kept.insert(0, (CHARACTERS, UTF8))
        else:
            return _written([*kept, (RECORD_VERSION, b"\0\4")])
    return _written([*kept, (RECORD_VERSION, b"\0\4"), (CAPTION, caption)])


def _data_sets(iim: bytes) -> Iterator[DataSet]:
    """Those before the first that is damaged, or longer than any text."""
    place = 0
    while iim[place : place + 1] == b"\x1c":
        record, number, size = struct.unpack_from(">BBH", iim, place + 1)
        place += 5
        if size & 0x8000:
            return
        yield (record, number), iim[place : place + size]
        place += size


def _written(data_sets: list[DataSet]) -> bytes:
    return b"".join(
        struct.pack(">BBBH", 0x1C, *name, len(value)) + value
        for name, value in sorted(data_sets, key=lambda one: (one[0][0], one[0] != RECORD_VERSION))
    )


def in_photoshop(block: bytes, text: str) -> bytes:
    """A Photoshop block with this caption; its other resources stay."""
    resources = [*_resources(block)]
    old = next((data for number, _, data in resources if number == IIM), b"")
    kept = [one for one in resources if one[0] not in (IIM, DIGEST)]
    written = b""
    for number, name, data in [*kept, (IIM, b"\0\0", with_caption(old, text))]:
        written += b"8BIM" + struct.pack(">H", number) + name + struct.pack(">I", len(data))
        written += data + b"\0" * (len(data) % 2)
    return written


def _resources(block: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, name as it is written, and content of each."""
    place = 0
    while block[place : place + 4] == b"8BIM":
        (number,) = struct.unpack_from(">H", block, place + 4)
        named = block[place + 6] + 1
        name = block[place + 6 : place + 6 + named + named % 2]
        place += 6 + len(name)
        (size,) = struct.unpack_from(">I", block, place)
        yield number, name, block[place + 4 : place + 4 + size]
        place += 4 + size + size % 2
