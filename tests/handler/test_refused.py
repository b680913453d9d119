"""Everything that is refused, and how."""

import random
import struct
import zlib

import pytest
import skimage.data
from PIL import Image, ImageFile

from handler.decode import FORMATS as LISTED
from handler.decode import Limits, decode
from handler.errors import (
    CorruptImage,
    DecodingStopped,
    ImageTooLarge,
    MissingImage,
    PictureError,
    TooComplex,
    TooManyPixels,
    UnsupportedImage,
)
from tests.handler.drawn import S, file, halves

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


WEBP_16383 = b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f" + struct.pack("<I", 16382 | 16382 << 14)
GIF_65535 = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x44\x01\0;"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", MissingImage, r"empty \(0 bytes\)"),
        (b"hello, I am a text\n", UnsupportedImage, f"A {LISTED} picture is expected; .* text"),
        (b"BMW is the name of a car", UnsupportedImage, "this is text"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', UnsupportedImage, "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", UnsupportedImage, "SVG"),
        (b"\0\0\0\x18ftypqt  \0\0\0\0isommp42", UnsupportedImage, "HEIC"),
        (b"%PDF-1.7\n%\xe2\xe3", UnsupportedImage, "PDF"),
        (bytes(range(256)), UnsupportedImage, "unknown format"),
        (file(halves(), "ICO"), UnsupportedImage, "unknown format"),
        (file(halves(), "PPM"), UnsupportedImage, "unknown format"),
        (b"RIFF\x24\0\0\0WAVEfmt ", UnsupportedImage, "unknown format"),
        (png_header(20_000, 20_000), TooManyPixels, r"20000 x 20000 pixels \(400.0 megapixels\)"),
        (png_header(10_000, 9_500), TooManyPixels, "at most 67.0 megapixels"),
        (png_header(100, 100), CorruptImage, "PNG picture is truncated or damaged"),
        (WEBP_16383, TooManyPixels, "at most 67.0 megapixels"),
        (GIF_65535, TooManyPixels, "65535 x 65535"),
        (png_header(1, 65_536), TooManyPixels, "at most 65535"),
        (png_header(65_536, 1), TooManyPixels, "at most 65535"),
        (b"\xff\xd8\xff" + bytes(100), CorruptImage, "JPEG picture's header"),
    ],
)
def test_wrong_bytes_are_refused(data: bytes, error: type[PictureError], message: str) -> None:
    with pytest.raises(error, match=message):
        decode(data, S)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MissingImage, 400),
        (ImageTooLarge, 413),
        (UnsupportedImage, 415),
        (TooManyPixels, 422),
        (TooComplex, 422),
        (CorruptImage, 422),
        (DecodingStopped, 503),
    ],
)
def test_error_as_json(error: type[PictureError], code: int) -> None:
    body = error("what to do").to_json()
    assert body == {"code": code, "type": error.__name__, "message": "what to do"}
    assert type(body["code"]) is int


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_truncated_picture_is_refused(file_format: str, kept: float) -> None:
    data = file(Image.fromarray(skimage.data.astronaut()), file_format)
    with pytest.raises(CorruptImage, match=f"{file_format} picture"):
        decode(data[: int(len(data) * kept)], S)


@pytest.mark.parametrize("file_format", FORMATS)
def test_truncated_header_is_refused(file_format: str) -> None:
    with pytest.raises(CorruptImage):
        decode(file(halves(), file_format)[:20], S)


@pytest.mark.parametrize("file_format", FORMATS)
def test_damaged_bytes_give_a_picture_or_an_error_of_ours(file_format: str) -> None:
    chance = random.Random(7)
    whole = file(halves(), file_format)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            assert decode(bytes(data), S).pixels.shape == (3, S, S)
        except PictureError:
            refused += 1
    assert refused > 0


def test_limits_are_inclusive() -> None:
    data = file(halves(), "PNG")
    exact = Limits(max_bytes=len(data), max_pixels=32 * 16)
    assert decode(data, S, exact).width == 32
    with pytest.raises(ImageTooLarge, match="at most 0.0 MiB are accepted"):
        decode(data, S, Limits(max_bytes=len(data) - 1))
    with pytest.raises(TooManyPixels, match="32 x 16 pixels"):
        decode(data, S, Limits(max_pixels=32 * 16 - 1))


def test_bytes_are_counted_before_anything_is_read() -> None:
    with pytest.raises(ImageTooLarge, match="2.0 MiB; at most 1.0 MiB are accepted"):
        decode(bytes(2 * 2**20), S, Limits(max_bytes=2**20))


def test_pillow_is_left_as_it_was() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert Image.MAX_IMAGE_PIXELS == 89_478_485
