"""The shipped captioner's attention, on pictures in which the place of a person is known."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from skimage import data
from torch import Tensor

from handler.captioner import Captioner
from handler.decode import decode
from handler.engines import Search
from handler.text import EOS
from tests.shipped import ARCHIVE

# Upright and with people of half its height, four of them would nearly fill the picture. So no
# pattern of attention that is the same for all places has a mean lift above 1.1.
SIZE = (375, 500)  # width and height in pixels
PLACES = tuple(product((0, 1), (0, 1)))  # each corner; the last is opposite to the first, and so on
# Outlines in pixels of the original pictures.
ASTRONAUT = (
    *((155, 60), (190, 20), (240, 15), (285, 35), (300, 90), (280, 150), (302, 215), (310, 240)),
    *((345, 270), (362, 350), (300, 400), (280, 450), (280, 512), (30, 512), (22, 400), (40, 290)),
    *((110, 230), (115, 185), (150, 155), (172, 140), (155, 100)),
)
PHOTOGRAPHER = (
    *((160, 110), (165, 75), (210, 63), (270, 100), (262, 140), (325, 140), (330, 190), (310, 240)),
    *((290, 250), (285, 285), (245, 312), (205, 292), (140, 380), (152, 512), (0, 512), (0, 260)),
    *((70, 150), (130, 118)),
)
PEOPLE = {
    *("adult", "baby", "boy", "boys", "child", "children", "girl", "girls", "guy", "kid", "lady"),
    *("man", "men", "people", "person", "player", "someone", "toddler", "woman", "women", "worker"),
}


def cut_out(pixels: Any, outline: tuple[tuple[int, int], ...]) -> Image.Image:
    """What is within ``outline``, on nothing, as small as it can be."""
    picture = Image.fromarray(pixels).convert("RGBA")
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    picture.putalpha(mask)
    return picture.crop(mask.getbbox())


def ground(grey: Image.Image, black: str, white: str) -> Image.Image:
    """A background: a grey picture in colours from ``black`` to ``white``."""
    return ImageOps.colorize(grey.resize(SIZE), black, white)


class Scene(NamedTuple):
    """A picture with one person."""

    png: bytes
    box: tuple[float, float, float, float]  # left, top, right, bottom; shares of the picture


def scene(person: Image.Image, background: Image.Image, place: tuple[int, int]) -> Scene:
    """Put the person, half as high as the picture, into one corner of it."""
    (width, height), picture = SIZE, background.copy()
    high = height // 2
    wide = round(person.width * high / person.height)
    left, top = place[0] * (width - wide), place[1] * (height - high)
    picture.paste(small := person.resize((wide, high)), (left, top), small)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return Scene(
        file.getvalue(),
        (left / width, top / height, (left + wide) / width, (top + high) / height),
    )


def scenes() -> list[Scene]:
    """Everybody before everything in every place; the places follow each other."""
    people = [cut_out(data.astronaut(), ASTRONAUT), cut_out(data.camera(), PHOTOGRAPHER)]
    backgrounds = [
        ground(Image.fromarray(data.grass()), "#14320a", "#8cbe5a"),
        ground(Image.fromarray(data.gravel()), "#967850", "#e6d2aa"),
        ground(Image.linear_gradient("L"), "#4678c8", "#d2e6fa"),
    ]
    return [scene(*parts) for parts in product(people, backgrounds, PLACES)]


def covered(low: float, high: float, cells: int) -> Tensor:
    """The share of each of ``cells`` along one axis that lies between two shares of it."""
    edges = torch.linspace(0, 1, cells + 1)
    return (edges[1:].clamp(max=high) - edges[:-1].clamp(min=low)).clamp(min=0) * cells


class Looks(NamedTuple):
    """For each of N scenes, over the G cells of the grid."""

    boxes: Tensor  # (N, G) the share of a cell that the person's box covers
    attention: Tensor  # (N, G) while the word for the person was chosen; zeros without such a word


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> Looks:
    folder = tmp_path_factory.mktemp("shipped")
    with zipfile.ZipFile(ARCHIVE) as file:
        for name in ("captioner.pt", "vocab.json"):
            file.extract(name, folder)
    captioner = Captioner(folder / "captioner.pt", folder / "vocab.json", torch.device("cpu"))
    rows, columns = captioner.grid_rows, captioner.grid_columns
    shown = scenes()
    boxes = [
        torch.outer(covered(top, bottom, rows), covered(left, right, columns)).flatten()
        for left, top, right, bottom in (each.box for each in shown)
    ]
    pixels = torch.stack([decode(each.png, captioner.image_size).pixels for each in shown])
    beams = captioner(pixels, Search(3, 20, 1, with_attention=True))
    attention = torch.zeros(len(shown), rows * columns)
    for n, tokens in enumerate(beams.tokens[:, 0].tolist()):
        words = [captioner.vocabulary[token] for token in tokens[: tokens.index(EOS)]]
        named = [t for t, word in enumerate(words) if word in PEOPLE]
        if named:
            attention[n] = beams.attention[n, 0, named[0]]
    return Looks(torch.stack(boxes), attention)


def lifts(boxes: Tensor, attention: Tensor) -> Tensor:
    """How many times more attention a box has than chance, its share of the picture, gives it."""
    named = attention.any(1)
    return ((attention * boxes).sum(1) / boxes.mean(1))[named]


def points(found: Tensor) -> bool:
    """Whether attention finds the person: clearly on average, and in most pictures."""
    return bool(found.mean() > 1.2 and (found > 1).float().mean() > 0.75)


def test_captions_name_the_person(looks: Looks) -> None:
    assert looks.attention.any(1).float().mean() > 0.5


def test_attention_points_at_the_person_whom_a_word_names(looks: Looks) -> None:
    found = lifts(*looks)
    assert points(found), found


def uniform(attention: Tensor) -> Tensor:
    """The same everywhere, which also is what a decoder without attention reports."""
    return torch.full_like(attention, 1 / attention.shape[1])


def opposite(attention: Tensor) -> Tensor:
    """That of the picture in which the person is in the opposite corner."""
    return attention.unflatten(0, (-1, len(PLACES))).flip(1).flatten(0, 1)


def average(attention: Tensor) -> Tensor:
    """The same for all pictures: habit, and not what is seen."""
    return attention.mean(0, keepdim=True).expand_as(attention)


@pytest.mark.parametrize("blind", [uniform, opposite, average])
def test_attention_that_does_not_see_the_person_would_not_pass(
    looks: Looks, blind: Callable[[Tensor], Tensor]
) -> None:
    found = lifts(looks.boxes, blind(looks.attention))
    assert not points(found), found
