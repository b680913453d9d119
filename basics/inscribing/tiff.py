"""TIFF files, and Exif, which has their form: tags are added, and nothing that is there moves."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from basics.inscribing import iptc, xmp

DESCRIPTION, XMP, IPTC = 270, 700, 33723
BYTES, TEXT, RAW = 1, 2, 7
SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
EMPTY = b"II*\0\x08\0\0\0" + bytes(6)
MAX_TAGS = 4096


class _Form(NamedTuple):
    """How numbers are written: in a file of up to 4 GiB, or in a BigTIFF."""

    order: str
    first: int  # where the offset of the first directory is
    offset: str
    entries: str
    entry: str


def _form(data: bytes) -> _Form:
    order = "<" if data[:2] == b"II" else ">"
    if b"+" in data[2:4]:
        return _Form(order, 8, f"{order}Q", f"{order}Q", f"{order}HHQ8s")
    return _Form(order, 4, f"{order}I", f"{order}H", f"{order}HHI4s")


def inscribe(picture: bytes, text: str) -> bytes:
    """The file with the caption in its first directory."""
    old = read(picture, IPTC) or b""
    return with_tags(
        picture,
        {
            DESCRIPTION: (TEXT, text.encode() + b"\0"),
            XMP: (BYTES, xmp.with_caption(xmp_packet(picture), text)),
            IPTC: (RAW, iptc.with_caption(old, text)),
        },
    )


def xmp_packet(picture: bytes) -> bytes | None:
    """The file's XMP, where it has any."""
    return read(picture, XMP) or None


def with_description(exif: bytes, text: str) -> bytes:
    """Exif with this description."""
    return with_tags(exif or EMPTY, {DESCRIPTION: (TEXT, text.encode() + b"\0")})


def read(data: bytes, tag: int) -> bytes | None:
    """The bytes of a tag in the first directory. Raises struct.error for damage."""
    entries, _ = _directory(data)
    if tag not in entries:
        return None
    size, place = _where(data, entries[tag])
    return entries[tag][2][:size] if place is None else data[place : place + size]


def with_tags(data: bytes, tags: Mapping[int, tuple[int, bytes]]) -> bytes:
    """The data with these tags, each a type and bytes, in a new first directory at its end."""
    form = _form(data)
    entries, following = _directory(data)
    made = bytearray(data)
    for tag, (kind, value) in tags.items():
        size, old = _where(data, entries[tag]) if tag in entries else (0, None)
        if old is not None:
            made[old : old + size] = bytes(len(made[old : old + size]))  # what it said is gone
        inline = struct.calcsize(form.offset)
        if len(value) > inline:
            made += b"\0" * (len(made) % 2)
            place, made = struct.pack(form.offset, len(made)), made + value
        else:
            place = value.ljust(inline, b"\0")
        entries[tag] = (kind, len(value), place)
    made += b"\0" * (len(made) % 2)
    struct.pack_into(form.offset, made, form.first, len(made))
    made += struct.pack(form.entries, len(entries))
    for tag in sorted(entries):
        made += struct.pack(form.entry, tag, *entries[tag])
    return bytes(made + struct.pack(form.offset, following))


def _where(data: bytes, entry: tuple[int, int, bytes]) -> tuple[int, int | None]:
    """How many bytes a tag's value has, and where they are; None: in the directory itself."""
    kind, count, value = entry
    size = count * SIZES.get(kind, 1)
    return size, None if size <= len(value) else struct.unpack(_form(data).offset, value)[0]


def _directory(data: bytes) -> tuple[dict[int, tuple[int, int, bytes]], int]:
    """The tags of the first directory, and where the next one is."""
    form = _form(data)
    (place,) = struct.unpack_from(form.offset, data, form.first)
    (count,) = struct.unpack_from(form.entries, data, place)
    if count > MAX_TAGS:
        raise struct.error("more tags than a directory has")
    place += struct.calcsize(form.entries)
    entries = {}
    for _ in range(count):
        tag, *entry = struct.unpack_from(form.entry, data, place)
        entries[tag] = (entry[0], entry[1], entry[2])
        place += struct.calcsize(form.entry)
    (following,) = struct.unpack_from(form.offset, data, place)
    return entries, following
