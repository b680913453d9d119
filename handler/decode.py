"""A picture's bytes to the tensor that the captioner takes, for training and serving alike."""

import io
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import simplejpeg
import torch
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from torch.nn import functional as F

from handler.errors import (
    CorruptImage,
    ImageTooLarge,
    MissingImage,
    TooManyPixels,
    UnsupportedImage,
)

# How each accepted format begins. The plugin is chosen here, and not by `Image.open`, so that a
# damaged JPEG is told apart from a text file, and so that Pillow's own warning about large
# pictures, which cannot be silenced for one thread alone, is never reached.
_SIGNATURES: tuple[tuple[type[ImageFile], re.Pattern[bytes]], ...] = tuple(
    (plugin, re.compile(signature, re.DOTALL))
    for plugin, signature in (
        (JpegImageFile, rb"\xff\xd8\xff"),
        (PngImageFile, rb"\x89PNG\r\n\x1a\n"),
        (WebPImageFile, rb"RIFF.{4}WEBP"),
        (GifImageFile, rb"GIF8[79]a"),
        (BmpImageFile, rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\x00{3}"),
        (TiffImageFile, rb"II[\x2a\x2b]\x00|MM\x00[\x2a\x2b]"),
    )
)
ACCEPTED = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
FORMATS = f"{', '.join(ACCEPTED[:-1])} or {ACCEPTED[-1]}"
_FOREIGN = (
    (re.compile(rb".{4}ftyp", re.DOTALL), "a HEIC or AVIF picture or a video"),
    (re.compile(rb"\s*(\xef\xbb\xbf)?\s*<"), "an SVG, HTML or XML document"),
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"[\t\n\r\x20-\x7e]+\Z"), "text"),
)
_ORIENTATION_TAG = 0x0112
# How a picture (3, H, W) is turned upright: whether rows become columns, then what is mirrored.
_ORIENTATIONS: dict[int, tuple[bool, list[int]]] = {
    2: (False, [2]),
    3: (False, [1, 2]),
    4: (False, [1]),
    5: (True, []),
    6: (True, [2]),
    7: (True, [1, 2]),
    8: (True, [1]),
}
# From here on Pillow would warn of a decompression bomb by itself.
_PILLOW_PIXELS = 89_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused before a pixel is decoded."""

    max_bytes: int = 16 * 2**20  # of the file
    max_pixels: int = 67_000_000  # width x height: a 64-megapixel camera's 9248 x 6944 fits

    def __post_init__(self) -> None:
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes is {self.max_bytes}; at least 1 is needed")
        if not 1 <= self.max_pixels <= _PILLOW_PIXELS:
            raise ValueError(f"max_pixels is {self.max_pixels}; 1 to {_PILLOW_PIXELS} is accepted")


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture, and what it was before."""

    pixels: torch.Tensor  # (3, S, S) uint8 RGB
    width: int  # of the original, upright, in pixels
    height: int
    format: str  # Pillow's name: "JPEG", "PNG", ...


def decode(data: bytes | bytearray, size: int, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """Decode a picture, turn it upright and squeeze the whole of it to `size` x `size`.

    Of an animation or a document of several pages the first one counts.

    Raises:
        PictureError: the picture is missing, too large, of another format, or damaged.
    """
    image = _open(data, limits)
    try:
        width, height = image.size
        pixels = squeeze(_read(image, data, size), size)
        orientation = _orientation(image)
    except MemoryError:  # the machine's fault, not the picture's
        raise
    except Exception as error:  # hostile bytes make Pillow's decoders raise nearly anything
        raise CorruptImage(
            f"The {image.format} picture is truncated or damaged. Save it anew and send it again."
        ) from error
    # A square may be turned after the squeeze: the same picture for a fraction of the work.
    if orientation in _ORIENTATIONS:
        rows_become_columns, mirrored = _ORIENTATIONS[orientation]
        pixels = (pixels.transpose(1, 2) if rows_become_columns else pixels).flip(mirrored)
    if orientation >= 5:
        width, height = height, width
    return Picture(pixels, width, height, image.format or "")


def squeeze(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """Scale (H, W, 3) uint8 to `size` x `size`, bilinear: uint8 (3, S, S).

    By PyTorch, in a third of the time that Pillow takes for the same numbers give or take one.
    """
    picture = pixels.permute(2, 0, 1).unsqueeze(0)
    squeezed = F.interpolate(picture, (size, size), mode="bilinear", antialias=True)
    return squeezed[0].contiguous()


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


def _open(data: bytes | bytearray, limits: Limits) -> ImageFile:
    """Read the header of a picture within the limits; no pixel is decoded yet."""
    if not data:
        raise MissingImage(f"The picture is empty (0 bytes). Send a {FORMATS} file.")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(
            f"The picture has {len(data) / 2**20:.1f} MiB; at most "
            f"{limits.max_bytes / 2**20:.1f} MiB are accepted. Send a smaller one."
        )
    plugin = next((kind for kind, start in _SIGNATURES if start.match(data)), None)
    if plugin is None:
        raise UnsupportedImage(
            f"A {FORMATS} picture is expected; this is {_guess(data)}. "
            "Save it in one of these formats and send it again."
        )
    try:
        image = plugin(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise TooManyPixels(_too_many("The picture has too many pixels", limits)) from error
    except Exception as error:  # as above
        raise CorruptImage(
            f"The {plugin.format} picture's header is truncated or damaged. "
            "Save it anew and send it again."
        ) from error
    width, height = image.size
    if width * height > limits.max_pixels:
        came = f"The picture is {width} x {height} pixels ({width * height / 1e6:.1f} megapixels)"
        raise TooManyPixels(_too_many(came, limits))
    return image


def _read(image: ImageFile, data: bytes | bytearray, size: int) -> torch.Tensor:
    """Decode all pixels, (H, W, 3) uint8 RGB; a JPEG's reduced to no less than twice `size`."""
    if isinstance(image, JpegImageFile):
        # libjpeg leaves out detail that the squeeze would average away: several times faster.
        image.draft(None, (2 * size, 2 * size))
        if image.mode in ("L", "RGB"):
            # By libjpeg-turbo, as Pillow does it: the same numbers, but not copied on their way.
            least = {"min_width": image.width, "min_height": image.height}
            with suppress(ValueError):  # the slightest damage, of which Pillow puts up with some
                # A size that Pillow did not see has passed no limit.
                if simplejpeg.decode_jpeg_header(data, **least)[:2] == image.size[::-1]:
                    return torch.from_numpy(simplejpeg.decode_jpeg(data, **least))
    image.load()
    rgb = to_rgb(image)
    # PyTorch needs a copy. One of a very large picture would need as much memory again, so Pillow
    # squeezes that.
    if max(rgb.size) > 8 * size:
        rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
    pixels = torch.frombuffer(bytearray(rgb.tobytes()), dtype=torch.uint8)
    return pixels.view(rgb.height, rgb.width, 3)


def _too_many(came: str, limits: Limits) -> str:
    accepted = f"at most {limits.max_pixels / 1e6:.1f} megapixels are accepted"
    return f"{came}; {accepted}. Make it smaller and send it again."


def _guess(data: bytes | bytearray) -> str:
    """Name what came instead of a picture, for the error's reader."""
    head = data[:64]
    return next((name for start, name in _FOREIGN if start.match(head)), "of an unknown format")


def _orientation(image: ImageFile) -> int:
    """Return the EXIF orientation, 1 to 8. Pillow has turned a TIFF already, and says 1."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # damaged EXIF does not make a picture unreadable
        return 1
    return orientation if orientation in _ORIENTATIONS else 1


def _shallow(image: Image.Image) -> Image.Image:
    """Scale a deep greyscale picture to 8 bits, where Pillow's own conversion would clip.

    16 bits have a known white. That of 32-bit numbers is unknown: their own range is stretched.
    """
    if image.mode.startswith("I;16"):
        scale, offset = 255 / 65535, 0.5
        image = image.convert("I")
    else:
        low, high = cast(tuple[float, float], image.convert("F").getextrema())
        scale = 255 / (high - low) if high > low else 0.0
        offset = -low * scale + 0.5
    shallow = image.point(lambda value: value * scale + offset).convert("L")
    shallow.info.pop("transparency", None)  # a deep value, which is another grey here
    return shallow
