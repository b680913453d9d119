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
class Picture:
    """A decoded picture, and what it was before decoding."""

    pixels: torch.Tensor  # (3, S, S) uint8 RGB
    width: int  # of the original, upright, in pixels
    height: int
    format: str  # one of ACCEPTED


def decode(data: bytes | bytearray, size: int, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """Decode a picture, turn it upright and squeeze the whole of it to `size` x `size`.

    Only the first frame of an animation, or the first page of a document, is used.

    Raises:
        PictureError: the picture is missing, too large, of another format, or damaged.
    """
    name = recognise(data, limits)
    if name in ISOLATED:
        raster = isolated.read(data, name, size, limits)
        width, height, turned = raster.width, raster.height, raster.orientation
        pixels = squeeze(_as_tensor(raster.rgb, raster.rows, raster.columns), size)
    else:
        image = open_picture(data, name, limits)
        try:
            width, height = image.size
            pixels = squeeze(_read(image, data, size), size)
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


def squeeze(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """Scale (H, W, 3) uint8 to `size` x `size`, bilinear: uint8 (3, S, S).

    PyTorch takes a third of Pillow's time for the same values, give or take one.
    """
    picture = pixels.permute(2, 0, 1).unsqueeze(0)
    squeezed = F.interpolate(picture, (size, size), mode="bilinear", antialias=True)
    return squeezed[0].contiguous()


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
