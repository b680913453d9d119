"""Pictures drawn by a seed, in every format that is read, and what can become of their files."""

from __future__ import annotations

import contextlib
import io
import random
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from tests.handler.drawn import HEIC
from tests.torture.files import FORMS, NESTED, Piece, join, split

LARGE = (4000, 3000)
LARGE_SHARE = 0.02
MOST_BYTES = 4 * 2**20  # of a mutated picture
MIXED = ("LA", "RGBA", "P", "1", "L", "RGB")
# How each format may be saved: modes, and the options of which one or none is drawn.
SAVED: dict[str, tuple[tuple[str, ...], list[dict[str, Any]]]] = {
    "JPEG": (
        ("RGB", "L", "CMYK"),
        [
            {"progressive": True},
            {"restart_marker_blocks": 1},
            {"quality": 5},
            {"exif": b"Exif\0\0"},
        ],
    ),
    "PNG": (MIXED, [{"compress_level": 0}]),
    "GIF": (("P", "L", "RGB"), [{"save_all": True}, {"interlace": 0}]),
    "WEBP": (("RGB", "RGBA"), [{"lossless": True}, {"quality": 5}]),
    "BMP": (("RGB", "L", "1", "P", "RGBA"), []),
    "TIFF": (
        ("RGB", "L", "1", "CMYK", "RGBA"),
        [{"compression": name} for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits")],
    ),
    "AVIF": (("RGB", "RGBA"), [{"speed": 10}]),
}
assert {*SAVED, "HEIC"} == {*FORMS}


class Picture(NamedTuple):
    """A file, its format, whether it has to be captioned, and its size where that is known."""

    kind: str
    data: bytes
    sound: bool = True
    size: tuple[int, int] | None = None


def draw(
    rng: random.Random, kind: str | None = None, size: tuple[int, int] | None = None
) -> Picture:
    """A sound picture."""
    kind = kind or rng.choice([*FORMS])
    if kind == "HEIC":  # nothing that is installed writes one: a small one, turned
        place, turns = HEIC.index(b"irot") + 4, rng.randrange(4)
        data = HEIC[:place] + bytes([turns]) + HEIC[place + 1 :]
        return Picture(kind, data, size=(16, 32) if turns % 2 else (32, 16))
    if size is None:
        large = kind == "JPEG" and rng.random() < LARGE_SHARE
        size = LARGE if large else (rng.randint(1, 400), rng.randint(1, 300))
    modes, options = SAVED[kind]
    image = Image.frombytes("RGB", (16, 16), rng.randbytes(768)).resize(size)
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randint(0, 8)):
        left, top = rng.randrange(size[0]), rng.randrange(size[1])
        box = (left, top, left + rng.randint(0, size[0]), top + rng.randint(0, size[1]))
        shape = rng.choice((pen.ellipse, pen.rectangle))
        shape(box, fill=(rng.randrange(256), rng.randrange(256), rng.randrange(256)))
    file = io.BytesIO()
    chosen = rng.choice([{}, *options])
    image.convert(rng.choice(modes)).save(file, kind, **chosen)
    return Picture(kind, file.getvalue(), size=size)


def large(kind: str) -> Picture:
    """A picture of one colour as large as a camera's."""
    file = io.BytesIO()
    Image.new("RGB", LARGE, "teal").save(file, kind)
    return Picture(kind, file.getvalue(), size=LARGE)


def mutate(rng: random.Random) -> Picture:
    """A picture to whose file something has happened, once or a few times."""
    kind, data, *_ = draw(rng)
    if (how := rng.random()) < 0.15:
        data = data[: rng.randrange(len(data))]
    elif how < 0.3:
        data = _flip(rng, data)
    else:
        pieces = split(kind, data)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            with contextlib.suppress(struct.error, IndexError):  # a box within a changed one
                pieces = _change(rng, kind, pieces)
        data = join(kind, pieces)
    return Picture(kind, data[:MOST_BYTES], sound=False)


def _flip(rng: random.Random, data: bytes) -> bytes:
    """Some bits turned over."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 8, 64)) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _number(rng: random.Random, data: bytes) -> bytes:
    """One number of the piece made very large, very small or another."""
    width = rng.choice((1, 2, 4))
    top = 256**width
    value = rng.choice((0, 1, top // 2 - 1, top // 2, top - 1, rng.randrange(top)))
    place = rng.randrange(max(1, min(len(data), 64)))
    number = value.to_bytes(width, rng.choice(("big", "little")))
    return data[:place] + number + data[place + width :]


_BODIES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip,
    _number,
    _number,
    lambda rng, data: data[: rng.randrange(len(data) + 1)],
    lambda rng, data: rng.randbytes(len(data)),
    lambda rng, data: data + rng.randbytes(rng.choice((1, 100, 10_000))),
)


def _change(rng: random.Random, kind: str, pieces: list[Piece]) -> list[Piece]:
    """One piece changed, dropped, moved, borrowed, renamed, or there many times."""
    if not pieces:
        return pieces
    place = rng.randrange(len(pieces))
    name, body = piece = pieces[place]
    before, after = pieces[:place], pieces[place + 1 :]
    if kind in ("HEIC", "AVIF") and name in NESTED and rng.random() < 0.8:
        head = NESTED[name]
        inner = join(kind, _change(rng, kind, split(kind, body[head:])))
        return [*before, Piece(name, body[:head] + inner), *after]
    how = rng.randrange(10)
    if how == 0:
        return [*before, *after]
    if how == 1:
        other = rng.choice(after or before or pieces)
        return [*before, other, piece, *after]
    if how == 2:
        times = rng.choice((2, 30, 1000, 100_000))
        return [*before, *[piece] * min(times, MOST_BYTES // (len(body) + 12)), *after]
    if how == 3:
        return [*before, rng.choice(split(kind, draw(rng, kind).data)), *after]
    if how == 4 and name:
        return [*before, Piece(rng.choice(pieces).name or rng.randbytes(len(name)), body), *after]
    return [*before, Piece(name, rng.choice(_BODIES)(rng, body)), *after]


def options(rng: random.Random) -> dict[str, int]:
    """Options that are valid together; any of them may be left out."""
    beam = rng.randint(1, 8)
    drawn = {
        "beam_size": beam,
        "num_captions": rng.randint(1, beam),
        "max_length": rng.randint(1, 50),
    }
    if rng.random() < 0.3:
        return {}
    if rng.random() < 0.2:
        del drawn["max_length"]
    return drawn
