"""Pictures and captions that cost what real ones cost, and belong to nobody."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path

from PIL import Image, ImageDraw

from training.data.splits import Example

CAPTIONS = 5  # a picture, as in Flickr8k
SIZE = (500, 375)  # pixels, width and height: the most common size in Flickr8k
SYLLABLES = [a + b for a, b in product("bdfgklmnrs", "aeiou")]
WORDS = [a + b for a, b in product(SYLLABLES, repeat=2)]  # 2,500, about as many as Flickr8k's


def draw_examples(folder: Path, count: int, seed: int = 0) -> list[Example]:
    """``count`` JPEG pictures in ``folder``, each with its captions; a seed decides them all."""
    chance = random.Random(seed)  # nosec B311 # drawn, not secret
    examples = []
    for number in range(count):
        path = folder / f"{number}.jpg"
        _picture(chance).save(path, quality=90)
        captions = tuple(_caption(chance) for _ in range(CAPTIONS))
        examples.append(Example(path, captions, path.name))
    return examples


def draw_pictures(
    folder: Path, count: int, size: tuple[int, int] = SIZE, seed: int = 0
) -> list[Path]:
    """``count`` JPEG pictures of ``size`` in ``folder``, which is made; a seed decides them all."""
    chance = random.Random(seed)  # nosec B311 # drawn, not secret
    folder.mkdir(parents=True)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        _picture(chance, size).save(path, quality=90)
    return paths


def _picture(chance: random.Random, size: tuple[int, int] = SIZE) -> Image.Image:
    """Coloured clouds with shapes before them."""
    small = size[0] // 10, size[1] // 10
    clouds = Image.frombytes("RGB", small, chance.randbytes(3 * small[0] * small[1]))
    picture = clouds.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(8):
        x, y = chance.randrange(size[0]), chance.randrange(size[1])
        shape = draw.ellipse if chance.random() < 0.5 else draw.rectangle
        colour = "#" + chance.randbytes(3).hex()
        shape((x, y, x + chance.randrange(20, 200), y + chance.randrange(20, 200)), fill=colour)
    return picture


def _caption(chance: random.Random) -> str:
    """7 to 15 words; those of Flickr8k have 11 on average, too."""
    return " ".join(chance.choices(WORDS, k=chance.randint(7, 15)))
