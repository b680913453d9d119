"""Small files that would take long to decode, and sound ones that only look like them."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from handler import pictures
from handler.decode import decode
from handler.errors import TooComplex
from tests.handler.drawn import BLUE, RED, S, file, halves

MIB = 2**20


def segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def chunk(name: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + checksum


JPEG = file(halves(), "JPEG")
JFIF = JPEG[:20]
PNG = file(halves(), "PNG")
EXIF = segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0")


def scans(count: int, frame: int = 0xC2, components: int = 1) -> bytes:
    """A valid JPEG of many scans, of a few bytes each."""
    layers = b"".join(bytes([1 + layer, 0x11, 0]) for layer in range(components))
    header = segment(0xDB, b"\0" + bytes([16] * 64))
    header += segment(frame, struct.pack(">BHHB", 8, 64, 64, components) + layers)
    header += segment(0xC4, b"\0\1" + bytes(15) + b"\0") + segment(
        0xC4, b"\x10\1" + bytes(15) + b"\xe0"
    )
    blocks = segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(8)
    more = segment(0xDA, bytes([1, 1, 0, 1, 1, 0])) + b"\x7f\xff"
    return b"\xff\xd8" + header + blocks + more * (count - 1) + b"\xff\xd9"


def lossless(size: int) -> bytes:
    """A valid grey picture, in three components, of a kind that libjpeg cannot reduce."""
    layers = b"".join(bytes([1 + layer, 0x11, 0]) for layer in range(3))
    header = segment(0xC3, struct.pack(">BHHB", 8, size, size, 3) + layers)
    header += segment(0xC4, b"\0\1" + bytes(15) + b"\0")
    header += segment(0xDA, b"\3\1\0\2\0\3\0\1\0\0")
    return b"\xff\xd8" + header + bytes(size * size * 3 // 8 + 1) + b"\xff\xd9"


def gif(before: bytes) -> bytes:
    """A GIF with something between its palette and its first frame."""
    data = file(halves(), "GIF")
    start = 13 + (3 << (data[10] & 7) + 1)
    return data[:start] + before + data[start:]


def tiff(*, count: int = 1, **tags: int) -> bytes:
    """An 8-bit TIFF of 64 x 64; `tags`, t273=(type, count), are numbers of 1 in a table."""
    shape = {256: 64, 257: 64, 258: 8, 259: 1, 262: 1, 277: 1, 278: 64, 273: 8, 279: 4096}
    large = {int(name[1:]): number for name, number in tags.items()}
    names = sorted(shape | large)
    names += range(40_000, 40_000 + count - 1)
    table = 8 + 2 + 12 * len(names) + 4
    body = struct.pack("<H", len(names))
    for name in names:
        if name in large:
            kind = 5 if name in (282, 0x9000) else 4
            body += struct.pack("<HHII", name, kind, large[name], table)
        else:
            body += struct.pack("<HHII", name, 4, 1, shape.get(name, 1))
    longest = max((0, *large.values()))
    return b"II*\0\x08\0\0\0" + body + bytes(4) + b"\1\0\0\0" * (2 * longest + 1024)


def bmp(bits: int, width: int, height: int, runs: bytes) -> bytes:
    """A compressed BMP of a grey palette with a red first entry."""
    palette = b"\0\0\xff\0" + b"".join(bytes([i, i, i, 0]) for i in range(1, 2**bits))
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 1 + (bits == 4), 0, 0, 0, 0, 0)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + head + palette + runs


HOSTILE: dict[str, Callable[[], bytes]] = {
    "JPEG, scans": lambda: scans(101),
    "JPEG, scans of a sequential one": lambda: scans(101, 0xC0, components=3),
    "JPEG, scans of a lossless one": lambda: scans(21, 0xC3),
    "JPEG, Exif": lambda: JFIF + EXIF * 17 + JPEG[20:],
    "JPEG, Exif behind an end": lambda: JFIF + b"\xff\xd9" + EXIF * 17 + JPEG[20:],
    "JPEG, comments": lambda: JFIF + segment(0xFE, b"") * 100_000 + JPEG[20:],
    "JPEG, junk": lambda: JFIF + bytes(MIB) + JPEG[20:],
    "JPEG, filling": lambda: JFIF + b"\xff" * MIB + JPEG[20:],
    "JPEG, markers without length": lambda: JFIF + b"\xff\xd0" * MIB + JPEG[20:],
    "PNG, chunks": lambda: PNG[:33] + chunk(b"teSt", b"") * 70_000 + PNG[33:],
    "PNG, texts": lambda: PNG[:33] + chunk(b"tEXt", b"a\0b") * 70_000 + PNG[33:],
    "PNG, data": lambda: PNG[:33] + chunk(b"IDAT", b"") * 70_000 + PNG[33:],
    "GIF, extensions": lambda: gif(b"!\1\1a\0" * 100_000),
    "GIF, one long extension": lambda: gif(b"!\xff" + b"\1a" * 300_000 + b"\0"),
    "GIF, a comment": lambda: gif(b"!\xfe" + b"\1a" * 300_000 + b"\0"),
    "TIFF, tags": lambda: tiff(count=2001),
    "TIFF, strips": lambda: tiff(t273=65_537),
    "TIFF, strips beyond the picture": lambda: tiff(t273=2),
    "TIFF, fractions": lambda: tiff(t282=70_000),
    "TIFF, numbers": lambda: tiff(t258=1_100_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_multiplies_is_refused(name: str) -> None:
    with pytest.raises(TooComplex, match="more|many"):
        decode(HOSTILE[name](), S)


def test_strips_that_share_their_bytes_are_refused() -> None:
    """Each is read as a whole, where it needs a part."""
    data = bytearray(file(Image.new("L", (64, 64)), "TIFF", compression="tiff_lzw"))
    entry = data.index(struct.pack("<HH", 279, 4))
    data[entry + 8 : entry + 12] = struct.pack("<I", 65 * MIB)
    with pytest.raises(TooComplex, match="bytes in its strips"):
        decode(bytes(data), S)


def test_runs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_RUNS", 1000)
    with pytest.raises(TooComplex, match="runs"):
        decode(bmp(8, 64, 64, b"\1\0" * 2000), S)


def test_lossless_jpeg_is_not_written_beyond_its_buffer() -> None:
    """It would end the process."""
    picture = decode(lossless(1000), S)
    assert picture.width == 1000
    assert picture.pixels.unique().tolist() == [128]


SOUND: dict[str, Callable[[], bytes]] = {
    "as many scans as are allowed": lambda: scans(100),
    "a second picture and a video behind": lambda: JPEG + b"\xff\xda" * 200 + EXIF * 20,
    "scans in a thumbnail": lambda: JFIF + segment(0xE1, b"\xff\xda" * 200) + JPEG[20:],
    "as much Exif as is allowed": lambda: JFIF + EXIF * 16 + JPEG[20:],
    "many chunks": lambda: PNG[:33] + chunk(b"teSt", b"") * 60_000 + PNG[33:],
    "a long comment": lambda: gif(b"!\xfe" + (b"\xff" + b"a" * 255) * 30_000 + b"\0"),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_only_looks_like_it_is_read(name: str) -> None:
    assert decode(SOUND[name](), S).pixels.shape == (3, S, S)


BIG = zlib.compress(b"abc " * 400_000)
UNUSED = {
    "zTXt": chunk(b"zTXt", b"prompt\0\0" + BIG),
    "iTXt": chunk(b"iTXt", b"workflow\0\1\0\0\0" + BIG),
    "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BIG),
    "profile": chunk(b"iCCP", b"ICC Profile\0\0" + BIG),
    "damaged": b"\0\0\0\x05tEXta\0bcd\0\0\0\0",
    "large Exif": chunk(b"eXIf", bytes(2 * MIB)),
}


@pytest.mark.parametrize("place", [33, len(PNG) - 12], ids=["before", "after"])
@pytest.mark.parametrize("name", UNUSED)
def test_what_a_png_is_not_read_for_is_not_unpacked(name: str, place: int) -> None:
    data = PNG[:place] + UNUSED[name] + PNG[place:]
    assert torch.equal(decode(data, S).pixels, decode(PNG, S).pixels)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["XML:com.adobe.xmp", "Raw profile type exif"])
def test_texts_that_turn_a_png_are_read(name: str, packed: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = f"\nexif\n{len(exif.tobytes())}\n{exif.tobytes().hex()}"
    info = PngImagePlugin.PngInfo()
    if name.startswith("XML"):
        info.add_itxt(name, '<x tiff:Orientation="6"/>', zip=packed)
    else:
        info.add_text(name, raw, zip=packed)
    picture = decode(file(halves(), "PNG", pnginfo=info), S)
    assert (picture.width, picture.height) == (16, 32)
    assert (picture.pixels[:, 0, 0].tolist(), picture.pixels[:, -1, 0].tolist()) == (
        [*RED],
        [*BLUE],
    )


def test_exif_of_any_size_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    assert decode(file(halves(), "WEBP", exif=exif), S).width == 16
    assert decode(file(halves(), "WEBP", exif=exif + bytes(MIB)), S).width == 32


@pytest.mark.parametrize("bits", [4, 8])
def test_runs_are_read_as_pillow_reads_them(bits: int) -> None:
    """Runs over the row's end, pixels as they are, jumps, ends of rows and of the picture."""
    chance = np.random.default_rng(bits)
    for _ in range(200):
        runs = b""
        for _ in range(chance.integers(0, 40)):
            kind, value = chance.integers(0, 8), int(chance.integers(3, 30))
            size = value if bits == 8 else (value + 1) // 2
            runs += {
                0: b"\0\0",
                1: bytes([0, value]) + chance.bytes(size) + bytes(size % 2),
                2: bytes([0, 2, value % 5, value % 2]),
            }.get(int(kind), bytes([value, int(chance.integers(0, 256))]))
        data = bmp(bits, 23, 9, runs + bytes(2 * 9) + b"\0\1")
        assert outcome(data) == outcome(data, "bmp_rle")


def outcome(data: bytes, decoder: str = "bmp_run_lengths") -> bytes | None:
    image = pictures.BmpImageFile(pictures.CountedFile(data))
    image.tile = [tile._replace(codec_name=decoder) for tile in image.tile]
    try:
        return image.convert("RGB").tobytes()
    except ValueError:  # not enough of them
        return None


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_range_of_a_float_picture_is_that_of_its_finite_numbers(odd: float) -> None:
    values = np.full((16, 32), 0.75, dtype="float32")
    values[:, :16] = 0.25
    values[0, 8] = odd
    picture = decode(file(Image.fromarray(values), "TIFF"), S)
    assert picture.pixels[:, -1, 0].tolist() == [0, 0, 0]
    assert picture.pixels[:, -1, -1].tolist() == [255, 255, 255]


def test_float_picture_without_a_finite_number_is_black() -> None:
    values = np.full((16, 32), np.nan, dtype="float32")
    assert decode(file(Image.fromarray(values), "TIFF"), S).pixels.max() == 0
