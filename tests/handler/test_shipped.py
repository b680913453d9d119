"""The shipped captioner: what it names in photos, and its confidence, also of what is no photo."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from handler.captioner import Captioner
from handler.decode import decode
from handler.engines import Beams, Search
from tests.shipped import ARCHIVE

SIDE = 400  # pixels
# Photos that no model was trained on, and words of which a caption must say one.
PHOTOS = {
    "astronaut.png": {"woman", "person", "man", "astronaut"},
    "camera.png": {"man", "camera", "tripod"},
    "chelsea.png": {"cat"},
    "coffee.png": {"coffee", "cup"},
    "grace_hopper.jpg": {"uniform"},
    "motorcycle_left.png": {"motorcycle"},
    "rocket.jpg": {"rocket", "shuttle"},
}
TEXT = """It was the best of times, it was the worst of times, it was the age of wisdom, it was
the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the
season of Light, it was the season of Darkness, it was the spring of hope, it was the winter of
despair."""


def shipped(name: str) -> Image.Image:
    """A picture that comes with scikit-image or Matplotlib."""
    folders = Path(skimage.data.data_dir), Path(matplotlib.get_data_path()) / "sample_data"
    (path,) = (folder / name for folder in folders if (folder / name).exists())
    return Image.open(path).convert("RGB")


def noise(levels: int) -> Image.Image:
    """Noise of so many levels of each colour."""
    values = np.random.default_rng(5).integers(0, levels, (SIDE, SIDE, 3)) * (255 // (levels - 1))
    return Image.fromarray(values.astype(np.uint8))


def spiral() -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), "ivory")
    turns = [step / 20 for step in range(800)]
    line = [(200 + 5 * t * math.cos(t), 200 + 5 * t * math.sin(t)) for t in turns]
    ImageDraw.Draw(image).line(line, "navy", 6)
    return image


def target() -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    for number in range(8):
        box = (25 * number, 25 * number, SIDE - 25 * number, SIDE - 25 * number)
        ImageDraw.Draw(image).ellipse(box, ["firebrick", "white"][number % 2])
    return image


def face() -> Image.Image:
    """A face as a child draws it."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 60, 340, 340), "gold", "black", 8)
    draw.ellipse((130, 140, 165, 190), "black")
    draw.ellipse((235, 140, 270, 190), "black")
    draw.arc((120, 150, 280, 290), 20, 160, "black", 8)
    return image


def map_of_regions() -> Image.Image:
    """Regions in flat colours, each of what lies nearest to one of twelve points."""
    random = np.random.default_rng(3)
    points, colours = random.integers(0, SIDE, (12, 2)), random.integers(90, 255, (12, 3))
    places = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1)
    nearest = ((places[:, :, None] - points) ** 2).sum(-1).argmin(-1)
    return Image.fromarray(colours[nearest].astype(np.uint8))


def scan() -> Image.Image:
    """A printed page, a little askew, as a scanner sees it."""
    image = Image.new("RGB", (3 * SIDE, 4 * SIDE), (247, 244, 236))
    draw = ImageDraw.Draw(image)
    for top in range(120, 4 * SIDE - 300, 320):
        draw.multiline_text((100, top), TEXT, (40, 38, 44), ImageFont.load_default(22), spacing=14)
    image = image.rotate(1.5, Image.Resampling.BICUBIC, fillcolor=(247, 244, 236))
    return image.filter(ImageFilter.GaussianBlur(1))


NO_PHOTOS = {
    **{colour: Image.new("RGB", (SIDE, SIDE), colour) for colour in ("white", "black", "teal")},
    **{"noise": noise(256), "black and white noise": noise(2)},
    **{"spiral": spiral(), "target": target(), "face": face(), "map": map_of_regions()},
    **{"scan of a page": scan(), "photo of a page": shipped("page.png")},
    **{"chessboard": shipped("chessboard_RGB.png"), "phantom": shipped("phantom.png")},
    **{"colour wheel": shipped("color.png"), "logo": shipped("logo.png")},
    "photo of writing": shipped("text.png"),
}


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    folder = tmp_path_factory.mktemp("shipped")
    with zipfile.ZipFile(ARCHIVE) as file:
        file.extractall(folder, ["captioner.pt", "vocab.json"])
    return Captioner(folder / "captioner.pt", folder / "vocab.json", torch.device("cpu"))


def beams(captioner: Captioner, image: Image.Image) -> Beams:
    """The best caption of a picture, sent as a file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    pixels = decode(file.getvalue(), captioner.image_size).pixels
    return captioner(pixels.unsqueeze(0), Search(3, 20, 1))


def confidence(captioner: Captioner, image: Image.Image) -> float:
    """Of that caption."""
    return float(beams(captioner, image).confidence[0, 0])


@pytest.mark.parametrize("name", PHOTOS)
def test_a_photo_is_named(captioner: Captioner, name: str) -> None:
    tokens = beams(captioner, shipped(name)).tokens[0, 0].tolist()
    said = {word for token in tokens for word in captioner.vocabulary[token].split()}
    assert said & PHOTOS[name], said


@pytest.fixture(scope="module")
def least(captioner: Captioner) -> float:
    """The confidence of the photo that it is least sure of."""
    return min(confidence(captioner, shipped(name)) for name in PHOTOS)


def test_photos_are_captioned_with_some_confidence(least: float) -> None:
    assert least > 0.1


@pytest.mark.parametrize("name", NO_PHOTOS)
def test_what_is_no_photo_is_captioned_with_less(
    captioner: Captioner, least: float, name: str
) -> None:
    assert confidence(captioner, NO_PHOTOS[name]) < 0.3 * least
