"""A picture's bytes to the tensor that the captioner takes, for training and serving alike."""

from contextlib import suppress
from dataclasses import dataclass

import simplejpeg
import torch
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from torch.nn import functional as F

from handler import isolated
from handler.errors import PictureError
from handler.pictures import (
    ACCEPTED,
    FORMATS,
    ISOLATED,
    damaged,
    load_rgb,
    open_picture,
    orientation,
    recognise,
    to_rgb,
)
from handler.structure import DEFAULT_LIMITS, Limits

__all__ = [
    "ACCEPTED",
    "DEFAULT_LIMITS",
    "FORMATS",
    "SQUEEZED",
    "Fit",
    "Limits",
    "Picture",
    "decode",
    "squeeze",
    "to_rgb",
]

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


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture is fitted into the square that a captioner takes."""

    filter: str = "bilinear"  # or bicubic
    scale: int = 0  # pixels of a side before the centre is cut out; 0: nothing is cut off
    keeps_ratio: bool = False  # only the shorter side is scaled to that, the other one follows


SQUEEZED = Fit()
_LONGEST = 4  # times the shorter side: more of a picture is cut off before it is scaled


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture, and what it was before decoding."""

    pixels: torch.Tensor  # (3, S, S) uint8 RGB
    width: int  # of the original, upright, in pixels
    height: int
    format: str  # one of ACCEPTED


def decode(
    data: bytes | bytearray, size: int, limits: Limits = DEFAULT_LIMITS, fit: Fit = SQUEEZED
) -> Picture:
    """Decode a picture, turn it upright and fit it into `size` x `size`.

    Only the first frame of an animation, or the first page of a document, is used. What decoders
    may leave out to be faster depends on `fit`: other captioners than ours get every pixel.

    Raises:
        PictureError: the picture is missing, too large, of another format, or damaged.
    """
    name = recognise(data, limits)
    least = size if fit == SQUEEZED else limits.max_side
    if name in ISOLATED:
        raster = isolated.read(data, name, least, limits)
        width, height, turned = raster.width, raster.height, raster.orientation
        pixels = squeeze(_as_tensor(raster.rgb, raster.rows, raster.columns), size, fit)
    else:
        image = open_picture(data, name, limits)
        try:
            width, height = image.size
            pixels = squeeze(_read(image, data, least), size, fit)
            turned = orientation(image)
        except (PictureError, MemoryError):  # the latter is the machine's fault
            raise
        except Exception as error:  # hostile bytes make Pillow's decoders raise nearly anything
            raise damaged(name) from error
    # A square can be turned after the squeeze: the same picture for a fraction of the work.
    if turned in _ORIENTATIONS:
        rows_become_columns, mirrored = _ORIENTATIONS[turned]
        pixels = (pixels.transpose(1, 2) if rows_become_columns else pixels).flip(mirrored)
    if turned >= 5:
        width, height = height, width
    return Picture(pixels, width, height, name)


def squeeze(pixels: torch.Tensor, size: int, fit: Fit = SQUEEZED) -> torch.Tensor:
    """Scale (H, W, 3) uint8 and cut it to `size` x `size`: uint8 (3, S, S).

    PyTorch takes a third of Pillow's time for the same values, give or take one.
    """
    height = width = scale = fit.scale or size
    if fit.keeps_ratio:
        short = min(pixels.shape[:2])
        # Of a strip only the middle counts, and all of it could be scaled to any number of pixels.
        pixels = _middle(pixels, _LONGEST * short, _LONGEST * short)
        height, width = (scale * side // short for side in pixels.shape[:2])
    picture = pixels.permute(2, 0, 1).unsqueeze(0)
    scaled = F.interpolate(picture, (height, width), mode=fit.filter, antialias=True)
    return _middle(scaled[0].permute(1, 2, 0), size, size).permute(2, 0, 1).contiguous()


def _middle(pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """At most so many rows and columns of (H, W, 3), from the middle."""
    top, left = (
        round(max(side - most, 0) / 2)
        for side, most in zip(pixels.shape[:2], (rows, columns), strict=True)
    )
    return pixels[top : top + rows, left : left + columns]


def _read(image: ImageFile, data: bytes | bytearray, size: int) -> torch.Tensor:
    """Decode all pixels, (H, W, 3) uint8 RGB; a JPEG is reduced to no less than twice `size`."""
    if isinstance(image, JpegImageFile):
        kind = image.info["kind"]
        if kind.scalable:
            # libjpeg leaves out detail that the squeeze would average away: several times faster.
            image.draft(None, (2 * size, 2 * size))
        if kind.directly and image.mode in ("L", "RGB"):
            # By libjpeg-turbo, which Pillow uses too: the same values with fewer copies.
            least = {"min_width": image.width, "min_height": image.height}
            with suppress(ValueError):  # the slightest damage, some of which Pillow tolerates
                # The limits were checked on the size that Pillow read, so it must be the same.
                if simplejpeg.decode_jpeg_header(data, **least)[:2] == image.size[::-1]:
                    return torch.from_numpy(simplejpeg.decode_jpeg(data, **least))
    rgb = load_rgb(image, size)
    return _as_tensor(bytearray(rgb.tobytes()), rgb.height, rgb.width)


def _as_tensor(rgb: bytearray, rows: int, columns: int) -> torch.Tensor:
    return torch.frombuffer(rgb, dtype=torch.uint8).view(rows, columns, 3)
