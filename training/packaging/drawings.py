"""Pictures that are no photos, drawn at random: what a calibrated captioner must not trust."""

from __future__ import annotations

import math
import random
import string
from collections.abc import Callable, Iterator
from itertools import cycle, islice

import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor

Colour = tuple[int, int, int] | str
Point = tuple[float, float]
Box = tuple[float, float, float, float]


def outliers(count: int, size: int, seed: int = 0) -> Iterator[Tensor]:
    """Draw ``count`` pictures, uint8 RGB ``[3, size, size]``, every kind in turn.

    Equal arguments give equal pictures.
    """
    rng = random.Random(seed)  # nosec B311 # drawn, not secret
    for draw in islice(cycle(KINDS), count):
        # Drawn large and squeezed as a decoded file is, so that edges are as soft as a file's.
        image = draw(rng, 2 * size).resize((size, size), Image.Resampling.BILINEAR)
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        yield pixels.view(size, size, 3).permute(2, 0, 1).contiguous()


def _plain(rng: random.Random, side: int) -> Image.Image:
    return Image.new("RGB", (side, side), _colour(rng))


def _noise(rng: random.Random, side: int) -> Image.Image:
    """Noise of any grain, from one pixel to clouds, in grey or in colours."""
    cells = max(2, round(side / 2 ** rng.uniform(0, 6.5)))
    if rng.random() < 0.4:
        small = Image.frombytes("L", (cells, cells), rng.randbytes(cells**2)).convert("RGB")
    else:
        small = Image.frombytes("RGB", (cells, cells), rng.randbytes(3 * cells**2))
    how = rng.choice([Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
    noise = small.resize((side, side), how)
    return Image.blend(_plain(rng, side), noise, rng.uniform(0.2, 1))


def _gradient(rng: random.Random, side: int) -> Image.Image:
    shade = rng.choice([Image.linear_gradient, Image.radial_gradient])("L").resize((side, side))
    shade = shade.rotate(rng.choice([0, 90, 180, 270]))
    return Image.composite(_plain(rng, side), _plain(rng, side), shade)


def _stripes(rng: random.Random, side: int) -> Image.Image:
    """Stripes in any direction, or a chessboard."""
    image, colours = _plain(rng, side), [_colour(rng) for _ in range(rng.randint(1, 3))]
    draw = ImageDraw.Draw(image)
    step = max(1, side // rng.randint(3, 40))
    for row in range(2 * side // step):
        draw.line((0, row * step, 2 * side, row * step), rng.choice(colours), max(1, step // 2))
    if rng.random() < 0.4:
        for x in range(0, side, 2 * step):
            for y in range(0, side, 2 * step):
                draw.rectangle((x, y, x + step - 1, y + step - 1), colours[0])
        return image
    return image.rotate(rng.choice([0, 90, rng.uniform(0, 180)]), fillcolor=colours[0])


def _shapes(rng: random.Random, side: int) -> Image.Image:
    """Filled shapes on a plain ground: from one in the middle to a crowd."""
    image, draw = _canvas(side, _one_of(rng, "white", "black", _colour(rng)))
    count = rng.choice([1, 1, 2, 3, 5, 8, 20, 60])
    for _ in range(count):
        radius = side * rng.uniform(0.1, 0.45) / math.sqrt(count)
        spread = 0.0 if count == 1 else 0.5
        x, y = (side * (0.5 + rng.uniform(-spread, spread)) for _ in "xy")
        corners = rng.choice([3, 4, 5, 6, 50])
        outline = [_around(x, y, radius, turn / corners + 0.125) for turn in range(corners)]
        draw.polygon(outline, _colour(rng))
    return image


def _strokes(rng: random.Random, side: int) -> Image.Image:
    """A drawing in lines: scribbles, or outlines of shapes, on paper."""
    paper, ink = _paper_and_ink(rng)
    image, draw = _canvas(side, paper)
    width = rng.randint(1, max(1, side // 40))
    for _ in range(rng.randint(1, 12)):
        x, y = rng.uniform(0, side), rng.uniform(0, side)
        if rng.random() < 0.4:
            radius = side * rng.uniform(0.03, 0.3)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), None, ink, width)
            continue
        line = [(x, y)]
        for _ in range(rng.randint(2, 12)):
            line.append(_around(*line[-1], side * rng.uniform(0.02, 0.25), rng.random()))
        draw.line(line, ink, width, joint="curve")
    return image


def _page(rng: random.Random, side: int) -> Image.Image:
    """A page of text, now and then turned, stained and blurred as scanners do."""
    paper, ink = _paper_and_ink(rng)
    image = Image.new("RGB", (side, side), paper)
    height = side / rng.uniform(6, 60)
    margin = side * rng.uniform(0, 0.15)
    _write(rng, image, (margin, margin, side - margin, side - margin), height, ink)
    if rng.random() < 0.5:
        image = image.rotate(rng.uniform(-6, 6), Image.Resampling.BICUBIC, fillcolor=paper)
        shade = Image.linear_gradient("L").resize((side, side)).rotate(rng.choice([0, 90, 180]))
        grey = Image.new("RGB", (side, side), "grey")
        image = Image.blend(image, Image.composite(grey, image, shade), rng.uniform(0, 0.7))
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.5)))
    return image


def _chart(rng: random.Random, side: int) -> Image.Image:
    """Bars, a curve or a pie, with axes and labels."""
    image, draw = _canvas(side, rng.choice(["white", "white", "#eee", "#222"]))
    low, high = side * 0.12, side * 0.9
    ink = "grey"
    kind = rng.choice(["bars", "curve", "pie"])
    if kind == "pie":
        turn = 0.0
        for end in [*sorted(rng.uniform(0, 360) for _ in range(rng.randint(1, 6))), 360.0]:
            draw.pieslice((low, low, high, high), turn, end, _colour(rng))
            turn = end
    else:
        draw.line((low, low, low, high, high, high), ink, max(1, side // 150))
        values = [rng.uniform(low, high) for _ in range(rng.randint(3, 20))]
        step = (high - low) / len(values)
        colour = _colour(rng)
        places = [(low + step * (i + 0.5), value) for i, value in enumerate(values)]
        if kind == "curve":
            draw.line(places, colour, max(2, side // 100))
        for x, y in places if kind == "bars" else ():
            draw.rectangle((x - step * 0.35, y, x + step * 0.35, high), colour)
    _write(rng, image, (low, side * 0.02, high, side * 0.1), side * 0.05, ink)
    _write(rng, image, (low, side * 0.92, high, side * 0.98), side * 0.03, ink)
    return image


def _screen(rng: random.Random, side: int) -> Image.Image:
    """A screenshot: bars, panels and buttons with text."""
    ground, ink = _paper_and_ink(rng)
    image, draw = _canvas(side, ground)
    draw.rectangle((0, 0, side, side * rng.uniform(0.05, 0.15)), _colour(rng))
    for _ in range(rng.randint(2, 8)):
        x, y = rng.uniform(0, 0.8) * side, rng.uniform(0.1, 0.9) * side
        box = (x, y, x + side * rng.uniform(0.1, 0.6), y + side * rng.uniform(0.05, 0.4))
        draw.rounded_rectangle(box, side // 60, rng.choice([_colour(rng), ground]), ink, 2)
        _write(rng, image, box, side * rng.uniform(0.02, 0.05), ink)
    return image


def _scene(rng: random.Random, side: int) -> Image.Image:
    """A child's drawing: sky, ground, sun, houses, trees and people of sticks."""
    image, draw = _canvas(side, _one_of(rng, "white", "skyblue", _colour(rng)))
    ground = side * rng.uniform(0.55, 0.85)
    draw.rectangle((0, ground, side, side), _one_of(rng, "green", "yellowgreen", _colour(rng)))
    x, y, r = side * rng.random(), side * 0.15, side * rng.uniform(0.05, 0.1)
    draw.ellipse((x - r, y - r, x + r, y + r), "yellow")
    for _ in range(rng.randint(1, 5)):
        x, r = side * rng.random(), side * rng.uniform(0.05, 0.15)
        ink, kind = _colour(rng), rng.choice(["house", "tree", "person"])
        if kind == "house":
            draw.rectangle((x - r, ground - 2 * r, x + r, ground), ink)
            eaves, top = ground - 2 * r, ground - 3 * r
            draw.polygon([(x - r, eaves), (x + r, eaves), (x, top)], ink)
        elif kind == "tree":
            draw.line((x, ground - 2 * r, x, ground), "brown", max(1, int(r / 3)))
            draw.ellipse((x - r, ground - 3 * r, x + r, ground - r), ink)
        else:
            w = max(1, int(r / 8))
            neck, hip = ground - 1.6 * r, ground - 0.7 * r
            draw.ellipse((x - r / 3, neck - 0.7 * r, x + r / 3, neck), None, ink, w)
            draw.line((x, neck, x, hip), ink, w)
            draw.line((x - r / 2, ground, x, hip, x + r / 2, ground), ink, w)
            draw.line((x - r / 2, neck + r / 3, x + r / 2, neck + r / 3), ink, w)
    return image


KINDS: tuple[Callable[[random.Random, int], Image.Image], ...] = (
    *(_plain, _noise, _gradient, _stripes, _shapes),
    *(_strokes, _page, _chart, _screen, _scene),
)


def _canvas(side: int, colour: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (side, side), colour)
    return image, ImageDraw.Draw(image)


def _colour(rng: random.Random) -> Colour:
    red, green, blue = rng.randbytes(3)
    return red, green, blue


def _one_of(rng: random.Random, *colours: Colour) -> Colour:
    return rng.choice(colours)


def _paper_and_ink(rng: random.Random) -> tuple[Colour, Colour]:
    """Light and dark, or, one time in five, dark and light."""
    light, dark = rng.randint(200, 255), rng.randint(0, 80)
    tints = [min(255, max(0, level + rng.randint(-15, 15))) for level in [light] * 3 + [dark] * 3]
    paper, ink = (tints[0], tints[1], tints[2]), (tints[3], tints[4], tints[5])
    return (ink, paper) if rng.random() < 0.2 else (paper, ink)


def _around(x: float, y: float, radius: float, turn: float) -> Point:
    """The point at a distance from (x, y), in a direction given as a share of the full circle."""
    return x + radius * math.cos(2 * math.pi * turn), y + radius * math.sin(2 * math.pi * turn)


def _write(rng: random.Random, image: Image.Image, box: Box, height: float, ink: Colour) -> None:
    """Fill ``box`` with lines of made-up words, ``height`` pixels high."""
    left, top, right, bottom = box
    font = ImageFont.load_default(max(6.0, height))
    draw = ImageDraw.Draw(image)
    letters = max(1, int((right - left) / (0.5 * max(6.0, height))))
    while top + height <= bottom:
        line = ""
        while len(line) < letters:
            line += "".join(rng.choices(string.ascii_letters, k=rng.randint(1, 10))) + " "
        shown = line[: letters if rng.random() < 0.85 else rng.randint(1, letters)]
        draw.text((left, top), shown, ink, font)
        top += 1.3 * height
