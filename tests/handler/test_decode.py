"""Pictures of every accepted mode and format."""

import io
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import simplejpeg
import skimage.data
import torch
from PIL import Image, ImageOps

from handler.decode import decode, to_rgb
from tests.handler.drawn import BLUE, GREY, RED, WHITE, S, file, halves


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
