"""A picture's bytes to RGB, by Pillow alone: what the decoding process can do without PyTorch."""

import math
import re
from importlib.util import find_spec
from typing import cast

import numpy as np
from PIL import Image, features
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile, PyDecoder
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from handler.errors import (
    CorruptImage,
    ImageTooLarge,
    MissingImage,
    PictureError,
    TooComplex,
    TooManyPixels,
    UnsupportedImage,
)
from handler.structure import (
    AGAIN,
    MAX_EXIF_BYTES,
    CountedFile,
    JpegKind,
    Limits,
    check_jpeg,
    check_tiff,
    strip_png,
)

# How each accepted format begins. The plugin is chosen here, and not by `Image.open`, so that a
# damaged JPEG is not mistaken for a text file, and so that Pillow's own warning about large
# pictures, which cannot be silenced for one thread alone, is never reached.
_PLUGINS: dict[str, tuple[type[ImageFile], re.Pattern[bytes]]] = {
    name: (plugin, re.compile(signature, re.DOTALL))
    for name, plugin, signature in (
        ("JPEG", JpegImageFile, rb"\xff\xd8\xff"),
        ("PNG", PngImageFile, rb"\x89PNG\r\n\x1a\n"),
        ("WEBP", WebPImageFile, rb"RIFF.{4}WEBP"),
        ("GIF", GifImageFile, rb"GIF8[79]a"),
        ("BMP", BmpImageFile, rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\x00{3}"),
        ("TIFF", TiffImageFile, rb"II[\x2a\x2b]\x00|MM\x00[\x2a\x2b]"),
    )
}
# Formats of video codecs. What their bytes ask of a decoder cannot be counted beforehand.
_BRANDS = {
    "AVIF": {b"avif", b"avis"},
    "HEIC": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"},
}
_READABLE = {  # an environment older than this file may lack them
    "HEIC": find_spec("pi_heif") is not None,
    "AVIF": "avif" in features.modules and features.check("avif"),
}
ISOLATED = tuple(name for name, readable in _READABLE.items() if readable)
ACCEPTED = (*_PLUGINS, *ISOLATED)
FORMATS = f"{', '.join(ACCEPTED[:-1])} or {ACCEPTED[-1]}"
_FOREIGN = (
    (re.compile(rb".{4}ftyp", re.DOTALL), "a HEIC or AVIF picture or a video"),
    (re.compile(rb"\s*(\xef\xbb\xbf)?\s*<"), "an SVG, HTML or XML document"),
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"[\t\n\r\x20-\x7e]+\Z"), "text"),
)
_ORIENTATION_TAG = 0x0112
# Runs of a compressed BMP, which take 1.5 seconds at the worst. Photos have fewer, longer ones.
MAX_RUNS = 2_500_000


def recognise(data: bytes | bytearray, limits: Limits) -> str:
    """Return the name of the format, one of ACCEPTED, of a file within the limit of bytes."""
    if not data:
        raise MissingImage(f"The picture is empty (0 bytes). Send a {FORMATS} file.")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(
            f"The picture has {len(data) / 2**20:.1f} MiB; at most "
            f"{limits.max_bytes / 2**20:.1f} MiB are accepted. Send a smaller one."
        )
    name = next((name for name, (_, start) in _PLUGINS.items() if start.match(data)), None)
    if data[4:8] == b"ftyp":
        size = min(int.from_bytes(data[:4], "big"), 1024)
        brands = {bytes(data[8:12]), *(bytes(data[i : i + 4]) for i in range(16, size, 4))}
        name = next((name for name in _BRANDS if brands & _BRANDS[name]), None)
    if name not in ACCEPTED:
        raise UnsupportedImage(
            f"A {FORMATS} picture is expected; this is {_guess(data)}. "
            "Save it in one of these formats and resend it."
        )
    return name


def open_picture(data: bytes | bytearray, name: str, limits: Limits) -> ImageFile:
    """Count what the file is made of, and read its header; no pixel is decoded yet."""
    kind = JpegKind()
    try:
        if name == "JPEG":
            kind = check_jpeg(data)
        elif name == "PNG":
            data = strip_png(data)
        elif name == "TIFF":
            check_tiff(data)
        image = _plugin(name)(CountedFile(data))
    except Image.DecompressionBombError as error:
        raise TooManyPixels(_too_many("The picture has too many pixels", limits)) from error
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # hostile bytes make Pillow's decoders raise nearly anything
        raise CorruptImage(
            f"The {name} picture's header is truncated or damaged. Save it again and resend it."
        ) from error
    image.format = name
    image.info["kind"] = kind
    _check_size(image, limits)
    if name == "BMP":
        image.tile = [tile._replace(codec_name=_RLE.get(tile[0], tile[0])) for tile in image.tile]
    return image


def _check_size(image: ImageFile, limits: Limits) -> None:
    """Raise TooManyPixels where the picture is larger than the limits."""
    width, height = image.size
    if width * height > limits.max_pixels:
        came = f"The picture is {width} x {height} pixels ({width * height / 1e6:.1f} megapixels)"
        raise TooManyPixels(_too_many(came, limits))
    if max(width, height) > limits.max_side:
        raise TooManyPixels(
            f"The picture is {width} x {height} pixels; a side may have at most {limits.max_side}. "
            "Cut it into smaller ones and send them one by one."
        )


def load_rgb(image: ImageFile, size: int) -> Image.Image:
    """Decode all pixels as RGB, of more than 8 times `size` squeezed to it at once.

    PyTorch, which squeezes better, needs a copy: of a very large picture as much memory again.
    """
    image.load()
    rgb = to_rgb(image)
    if max(rgb.size) > 8 * size:
        return rgb.resize((size, size), Image.Resampling.BILINEAR)
    return rgb


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: transparency over white, deep greys scaled to 8 bits."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _shallow(image)
    if image.has_transparency_data:
        picture = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def orientation(image: ImageFile) -> int:
    """Return the EXIF orientation, 1 to 8. A TIFF or HEIC is upright already, and says 1."""
    if len(image.info.get("exif") or b"") > MAX_EXIF_BYTES:
        return 1
    try:
        found = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # damaged EXIF does not make a picture unreadable
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def damaged(name: str) -> CorruptImage:
    return CorruptImage(f"The {name} picture is truncated or damaged. Save it again and resend it.")


def _plugin(name: str) -> type[ImageFile]:
    """Return Pillow's reader of a format, one thread of it: pictures run beside each other.

    The libraries of video codecs are loaded into the decoding process alone.
    """
    if name == "AVIF":
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        return AvifImagePlugin.AvifImageFile
    if name == "HEIC":
        import pi_heif

        pi_heif.options.DECODE_THREADS = 1
        pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = False
        return cast(type[ImageFile], pi_heif.HeifImageFile)
    return _PLUGINS[name][0]


def _too_many(came: str, limits: Limits) -> str:
    accepted = f"at most {limits.max_pixels / 1e6:.1f} megapixels are accepted"
    return f"{came}; {accepted}. Make it smaller and resend it."


def _guess(data: bytes | bytearray) -> str:
    """Name what came instead of a picture, for the error's reader."""
    head = data[:64]
    return next((name for start, name in _FOREIGN if start.match(head)), "of an unknown format")


def _shallow(image: Image.Image) -> Image.Image:
    """Scale a deep greyscale picture to 8 bits, where Pillow's own conversion would clip.

    16 bits have a known white. That of 32-bit numbers is unknown: their own range is stretched,
    that of the finite ones. Infinity counts as the largest of them, what is no number as the least.
    """
    if image.mode.startswith("I;16"):
        scale, offset = 255 / 65535, 0.5
        image = image.convert("I")
    else:
        if image.mode == "F":
            image = _finite(image)
        low, high = cast(tuple[float, float], image.convert("F").getextrema())
        scale = 255 / (high - low) if high > low else 0.0
        offset = -low * scale + 0.5
    shallow = image.point(lambda value: value * scale + offset).convert("L")
    shallow.info.pop("transparency", None)  # a deep value, which is another grey here
    return shallow


def _finite(image: Image.Image) -> Image.Image:
    mean = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    if math.isfinite(cast(float, mean)):  # and so is each of the numbers
        return image
    values = np.asarray(image)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    return Image.fromarray(np.nan_to_num(values, nan=low, posinf=high, neginf=low))


class _RunLengths(PyDecoder):
    """A BMP's runs, read as Pillow reads them but a run at a time instead of a pixel."""

    _pulls_fd = True

    def decode(self, buffer: object) -> tuple[int, int]:
        assert self.fd is not None
        nibbles = self.args[1]  # of four bits are two pixels to a byte
        pairs = [bytes((b >> 4, b & 15) if nibbles else (b, b)) for b in range(256)]
        source = self.fd.read()
        odd = (self.fd.tell() - len(source)) % 2
        width, total = self.state.xsize, self.state.xsize * self.state.ysize
        pixels, x, place, end = bytearray(), 0, 0, len(source) - 1
        for _ in range(MAX_RUNS):
            if len(pixels) >= total or place >= end:
                break
            count, value = source[place], source[place + 1]
            place += 2
            if count:  # one or two pixels over and over, cut at the end of the row
                if x + count > width:
                    count = max(0, width - x)
                pixels += pairs[value] * (count >> 1)
                if count & 1:
                    pixels.append(pairs[value][0])
                x += count
            elif value == 0:  # end of the row
                pixels += bytes(-len(pixels) % width)
                x = 0
            elif value == 1:  # end of the picture
                break
            elif value == 2:  # a jump
                if place >= end:
                    break
                jump = source[place] + source[place + 1] * width
                pixels += bytes(min(total - len(pixels), jump))
                x = len(pixels) % width
                place += 2
            else:  # pixels as they are, filled up to an even number of bytes
                count = min(total - len(pixels), value)
                run = source[place : place + (count + 1 >> 1 if nibbles else count)]
                place += len(run)
                if nibbles:
                    run = b"".join([pairs[b] for b in run])[:count]
                pixels += run
                x += value
                place += (odd + place) % 2
        else:
            raise TooComplex(f"The BMP picture has more than {MAX_RUNS} runs. {AGAIN}")
        self.set_as_raw(bytes(pixels), "L" if self.mode in ("1", "L") else "P", (0, self.args[-1]))
        return -1, 0


_RLE = {"bmp_rle": "bmp_run_lengths"}
Image.register_decoder(_RLE["bmp_rle"], _RunLengths)
