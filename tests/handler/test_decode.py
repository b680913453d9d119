"""Pictures of every accepted mode and format, and everything that is refused."""

import io
import random
import struct
import zlib
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import simplejpeg
import skimage.data
import torch
from PIL import Image, ImageFile, ImageOps

from handler.decode import Limits, decode, to_rgb
from handler.errors import (
    CorruptImage,
    ImageTooLarge,
    MissingImage,
    PictureError,
    TooManyPixels,
    UnsupportedImage,
)

S = 8
RED, BLUE, WHITE, GREY = (255, 0, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def halves(left: Any = RED, right: Any = BLUE, mode: str = "RGB") -> Image.Image:
    """A 32 x 16 picture of two colours."""
    image = Image.new(mode, (32, 16), right)
    image.paste(left, (0, 0, 16, 16))
    return image


def file(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def deep(dtype: str, left: float, right: float) -> Image.Image:
    """A greyscale picture of two values, of more than 8 bits."""
    values = np.full((16, 32), right, dtype=dtype)
    values[:, :16] = left
    return Image.fromarray(values)


def keyed(image: Image.Image, **options: Any) -> bytes:
    """A PNG in which one colour, or palette entry, is transparent."""
    return file(image, "PNG", **options)


def animation(file_format: str) -> bytes:
    later = [Image.new("RGB", (32, 16), "green")]
    return file(halves(), file_format, save_all=True, append_images=later, lossless=True)


CASES = {
    "JPEG": (file(halves(), "JPEG", quality=95), RED, BLUE),
    "JPEG L": (file(halves(128, 255, "L"), "JPEG"), GREY, WHITE),
    "JPEG CMYK, inverted as Adobe's": (
        file(halves((0, 255, 255, 0), (255, 255, 0, 0), "CMYK"), "JPEG", quality=95),
        RED,
        BLUE,
    ),
    "PNG": (file(halves(), "PNG"), RED, BLUE),
    "PNG 1": (file(halves(0, 1, "1"), "PNG"), (0, 0, 0), WHITE),
    "PNG L": (file(halves(128, 255, "L"), "PNG"), GREY, WHITE),
    "PNG LA": (file(halves((128, 255), (0, 0), "LA"), "PNG"), GREY, WHITE),
    "PNG P": (file(halves().quantize(4), "PNG"), RED, BLUE),
    "PNG P, one entry transparent": (
        keyed(halves(0, 1, "L").convert("P", palette=Image.Palette.WEB), transparency=1),
        (0, 0, 0),
        WHITE,
    ),
    "PNG P, alpha for each entry": (
        file(halves((255, 0, 0, 255), (0, 0, 255, 0), "RGBA").quantize(4), "PNG"),
        RED,
        WHITE,
    ),
    "PNG RGB, one colour transparent": (keyed(halves(), transparency=BLUE), RED, WHITE),
    "PNG RGBA": (file(halves((255, 0, 0, 255), (0, 0, 255, 0), "RGBA"), "PNG"), RED, WHITE),
    "PNG RGBA, half transparent": (
        file(halves((255, 0, 0, 128), (0, 0, 0, 127), "RGBA"), "PNG"),
        (255, 127, 127),
        (128, 128, 128),
    ),
    "PNG 16 bits, one value transparent": (
        keyed(deep("uint16", 128 * 257, 65535), transparency=128),
        GREY,
        WHITE,
    ),
    "PNG 16 bits": (file(deep("uint16", 32896, 65535), "PNG"), GREY, WHITE),
    "WEBP": (file(halves(), "WEBP", lossless=True), RED, BLUE),
    "WEBP RGBA": (
        file(halves((255, 0, 0, 255), (0, 0, 255, 0), "RGBA"), "WEBP", lossless=True),
        RED,
        WHITE,
    ),
    "WEBP animation": (animation("WEBP"), RED, BLUE),
    "GIF": (file(halves(), "GIF"), RED, BLUE),
    "GIF, transparent": (
        file(halves((255, 0, 0, 255), (0, 0, 255, 0), "RGBA"), "GIF"),
        RED,
        WHITE,
    ),
    "GIF animation": (animation("GIF"), RED, BLUE),
    "BMP": (file(halves(), "BMP"), RED, BLUE),
    "BMP 1": (file(halves(0, 1, "1"), "BMP"), (0, 0, 0), WHITE),
    "BMP P": (file(halves().quantize(4), "BMP"), RED, BLUE),
    "TIFF": (file(halves(), "TIFF"), RED, BLUE),
    "TIFF, compressed": (file(halves(), "TIFF", compression="tiff_lzw"), RED, BLUE),
    "TIFF of two pages": (animation("TIFF"), RED, BLUE),
    "TIFF CMYK": (
        file(halves((0, 255, 255, 0), (255, 255, 0, 0), "CMYK"), "TIFF"),
        RED,
        BLUE,
    ),
    "TIFF LA": (file(halves((128, 255), (0, 0), "LA"), "TIFF"), GREY, WHITE),
    "TIFF 16 bits": (file(deep("uint16", 32896, 65535), "TIFF"), GREY, WHITE),
    "TIFF 16 bits, big endian": (file(deep(">u2", 32896, 65535), "TIFF"), GREY, WHITE),
    "TIFF 32 bits": (file(deep("int32", -1000, 1000), "TIFF"), (0, 0, 0), WHITE),
    "TIFF float": (file(deep("float32", 0.25, 0.75), "TIFF"), (0, 0, 0), WHITE),
    "TIFF float, all equal": (file(deep("float32", 7, 7), "TIFF"), (0, 0, 0), (0, 0, 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_picture_is_decoded(name: str) -> None:
    data, left, right = CASES[name]
    picture = decode(data, S)
    assert (picture.width, picture.height, picture.format) == (32, 16, name.split()[0].strip(","))
    assert picture.pixels.dtype == torch.uint8
    assert picture.pixels.shape == (3, S, S)
    assert picture.pixels.is_contiguous()
    tolerance = 3 if picture.format == "JPEG" else 0
    assert picture.pixels[:, 0, 0].tolist() == pytest.approx(left, abs=tolerance)
    assert picture.pixels[:, -1, -1].tolist() == pytest.approx(right, abs=tolerance)


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16)
    rgb = np.asarray(to_rgb(Image.fromarray(np.tile(ramp, (4, 1)))))
    assert np.abs(rgb[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def difference_from_pillow(image: Image.Image, data: bytes) -> np.ndarray:
    """Levels of 255 between what is decoded from ``data`` and Pillow's own squeeze of ``image``."""
    expected = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR))
    return np.abs(decode(data, 224).pixels.permute(1, 2, 0).numpy().astype(int) - expected)


@pytest.mark.parametrize("size", [(300, 100), (500, 375), (100, 80), (1792, 300), (1800, 900)])
def test_squeeze_is_bilinear_over_the_whole_picture(size: tuple[int, int]) -> None:
    image = Image.fromarray(skimage.data.astronaut()).resize(size)
    assert difference_from_pillow(image, file(image, "PNG")).max() <= 1


def test_picture_of_the_right_size_is_left_as_it_is() -> None:
    image = Image.fromarray(skimage.data.astronaut()).resize((224, 224))
    assert difference_from_pillow(image, file(image, "PNG")).max() == 0


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_turned_upright(file_format: str, orientation: int) -> None:
    image = Image.new("RGB", (32, 16), "white")
    image.paste(RED, (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(image).resize((2, 2), Image.Resampling.BOX)
    picture = decode(file(image, file_format, exif=exif, quality=95), S)
    assert (picture.width, picture.height) == ((32, 16) if orientation < 5 else (16, 32))
    corners = picture.pixels[:, :: S - 1, :: S - 1].permute(1, 2, 0)
    np.testing.assert_allclose(corners, np.asarray(upright), atol=40)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # no error where warnings are none
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_exif_does_not_matter(exif: bytes) -> None:
    assert decode(file(halves(), "JPEG", exif=exif), S).width == 32


def test_wrong_orientation_does_not_matter() -> None:
    exif = Image.Exif()
    exif[0x0112] = 9
    assert decode(file(halves(), "JPEG", exif=exif), S).width == 32


@pytest.mark.parametrize("size", [(1, 1), (1, 60_000), (60_000, 1)])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_extreme_shapes(file_format: str, size: tuple[int, int]) -> None:
    picture = decode(file(Image.new("RGB", size, RED), file_format), S)
    assert (picture.width, picture.height) == size
    assert picture.pixels.shape == (3, S, S)
    assert picture.pixels[0].min() > 250


@pytest.mark.parametrize("name", ["astronaut", "coffee", "cat"])
def test_scaled_decoding_of_large_jpegs_differs_little(name: str) -> None:
    """The tolerance: half a level of 255 on average, 8 levels anywhere."""
    image = Image.fromarray(getattr(skimage.data, name)())
    data = file(image.resize((image.width * 4, image.height * 4), Image.Resampling.BICUBIC), "JPEG")
    difference = difference_from_pillow(Image.open(io.BytesIO(data)), data)
    assert 0 < difference.mean() < 0.5
    assert difference.max() <= 8


JPEGS: dict[str, dict[str, Any]] = {
    "no subsampling": {"subsampling": 0},
    "subsampled across": {"subsampling": 1},
    "subsampled both ways": {"subsampling": 2},
    "progressive": {"progressive": True},
    "stored as RGB": {"keep_rgb": True},
    "grey": {},
}


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("size", [(1, 1), (17, 9), (127, 128), (500, 375), (513, 511)])
def test_jpegs_are_read_as_pillow_reads_them(
    kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit: what a model was trained on with one is what it gets from the other."""
    image = Image.fromarray(skimage.data.astronaut()).resize(size)
    data = file(image.convert("L") if kind == "grey" else image, "JPEG", **JPEGS[kind])
    read = Mock(wraps=simplejpeg.decode_jpeg)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", read)
    directly = decode(data, 16).pixels
    assert read.call_count == 1
    read.side_effect = ValueError
    assert torch.equal(decode(data, 16).pixels, directly)


def test_what_pillow_puts_up_with_is_read() -> None:
    data = file(halves(), "JPEG")
    odd = data[:-2] + bytes(64) + data[-2:]  # something before the end's marker
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(odd)
    assert torch.equal(decode(odd, S).pixels, decode(data, S).pixels)


def test_a_size_that_passed_no_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow finds the size that is checked; libjpeg by itself might find another."""
    read = Mock()
    monkeypatch.setattr(simplejpeg, "decode_jpeg", read)
    monkeypatch.setattr(simplejpeg, "decode_jpeg_header", lambda *_, **__: (9999, 9999, "", ""))
    assert decode(file(halves(), "JPEG"), S).pixels.shape == (3, S, S)
    read.assert_not_called()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


WEBP_16383 = b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f" + struct.pack("<I", 16382 | 16382 << 14)
GIF_65535 = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x44\x01\0;"
LISTED = "JPEG, PNG, WEBP, GIF, BMP or TIFF"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", MissingImage, r"empty \(0 bytes\)"),
        (b"hello, I am a text\n", UnsupportedImage, f"A {LISTED} picture is expected; .* text"),
        (b"BMW is the name of a car", UnsupportedImage, "this is text"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', UnsupportedImage, "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", UnsupportedImage, "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", UnsupportedImage, "HEIC"),
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
        (CorruptImage, 422),
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
