"""How pictures are brought to the square of an adopted captioner, and its looks back on them."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from handler.answer import _attention
from handler.decode import SQUEEZED, Fit, Picture, decode

CLIP = Fit("bicubic", 64, True)


def jpeg(width: int, height: int) -> bytes:
    """A photo larger than what a captioner takes, and not square."""
    buffer = io.BytesIO()
    photo = Image.fromarray(skimage.data.astronaut()).resize((width, height))
    photo.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize(("width", "height"), [(451, 300), (300, 451)])
@pytest.mark.parametrize(
    ("fit", "scaled"),
    [
        (Fit("bicubic"), (64, 64)),
        (Fit("bilinear", 72), (72, 72)),
        (CLIP, None),
    ],
)
def test_pixels_are_those_of_pillow(
    fit: Fit, scaled: tuple[int, int] | None, width: int, height: int
) -> None:
    data = jpeg(width, height)
    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    long = 64 * 451 // 300
    size = scaled or ((long, 64) if width > height else (64, long))
    with Image.open(io.BytesIO(data)) as photo:
        expected = photo.convert("RGB").resize(size, filters[fit.filter])
    left, top = (round((side - 64) / 2) for side in size)
    expected = expected.crop((left, top, left + 64, top + 64))
    pixels = decode(data, 64, fit=fit).pixels.permute(1, 2, 0).numpy().astype(int)
    assert np.abs(pixels - np.asarray(expected).astype(int)).max() <= 2


def test_a_strip_is_cut_before_it_is_scaled() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (30_000, 1), "red").save(buffer, "PNG")
    picture = decode(buffer.getvalue(), 64, fit=CLIP)
    assert picture.pixels.shape == (3, 64, 64)
    assert picture.width == 30_000


def looks(fit: Fit, width: int, height: int) -> dict[str, Any]:
    captioner: Any = SimpleNamespace(grid_rows=4, grid_columns=4, image_size=64, fit=fit)
    picture = Picture(torch.zeros(3, 64, 64), width, height, "JPEG")
    one, two = [0.0] * 16, [0.0] * 16
    one[0], two[5] = 1.0, 1.0
    grid: dict[str, Any] = _attention([one, two], captioner, picture)["attention"]
    assert len(grid["weights"]) == grid["rows"] * grid["columns"]
    assert sum(grid["weights"]) == pytest.approx(1)
    return grid


@pytest.mark.parametrize(
    ("fit", "size", "rows", "columns", "first"),
    [
        (SQUEEZED, (400, 100), 4, 4, 0),
        (CLIP, (100, 100), 4, 4, 0),
        (CLIP, (200, 100), 4, 8, 2),
        (CLIP, (100, 200), 8, 4, 8),
        (CLIP, (100_000, 1), 4, 32, 14),  # no more cells than a browser can paint
        (Fit("bicubic", 96), (300, 100), 6, 6, 7),
    ],
)
def test_what_was_cut_off_was_not_looked_at(
    fit: Fit, size: tuple[int, int], rows: int, columns: int, first: int
) -> None:
    grid = looks(fit, *size)
    assert (grid["rows"], grid["columns"]) == (rows, columns)
    lit = [place for place, weight in enumerate(grid["weights"]) if weight]
    assert lit == [first, first + columns + 1]
    assert {grid["weights"][place] for place in lit} == {0.5}
