"""HEIC and AVIF, which are decoded in a process that can be killed."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from PIL import Image

from handler import isolated, pictures
from handler.decode import Limits, decode
from handler.errors import CorruptImage, DecodingStopped, TooManyPixels
from tests.handler.drawn import BLUE, HEIC, RED, S, file, halves

needs_heic = pytest.mark.skipif("HEIC" not in pictures.ACCEPTED, reason="pi-heif is not installed")


@pytest.fixture(autouse=True)
def _no_helper_is_left() -> Iterator[None]:
    yield
    isolated._stop_all()


def heic(angle: int) -> bytes:
    """The picture turned by `angle` times 90 degrees, anticlockwise."""
    place = HEIC.index(b"irot") + 4
    return HEIC[:place] + bytes([angle]) + HEIC[place + 1 :]


def avif(orientation: int = 1, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file(halves(), "AVIF", exif=exif.tobytes(), quality=95, **options)


def corners(data: bytes) -> list[list[int]]:
    pixels = decode(data, S).pixels
    return [pixels[:, y, x].tolist() for y in (0, -1) for x in (0, -1)]


ROTATIONS = {0: [RED, BLUE, RED, BLUE], 1: [BLUE, BLUE, RED, RED]}
ROTATIONS |= {2: ROTATIONS[0][::-1], 3: ROTATIONS[1][::-1]}


@needs_heic
@pytest.mark.parametrize("angle", ROTATIONS)
def test_heic_is_upright(angle: int) -> None:
    picture = decode(heic(angle), S)
    assert (picture.width, picture.height) == ((16, 32) if angle % 2 else (32, 16))
    assert picture.format == "HEIC"
    for corner, colour in zip(corners(heic(angle)), ROTATIONS[angle], strict=True):
        assert corner == pytest.approx(colour, abs=6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    png = decode(file(halves(), "PNG", exif=exif.tobytes()), S)
    picture = decode(avif(orientation), S)
    assert (picture.width, picture.height, picture.format) == (png.width, png.height, "AVIF")
    assert (picture.pixels.int() - png.pixels.int()).abs().max() <= 8


def test_transparency_is_white() -> None:
    image = halves((255, 0, 0, 255), (0, 0, 255, 0), "RGBA")
    assert corners(file(image, "AVIF", quality=95))[1] == pytest.approx((255, 255, 255), abs=6)


def test_first_frame_of_a_sequence() -> None:
    data = avif(save_all=True, append_images=[Image.new("RGB", (32, 16), "green")])
    assert corners(data)[0] == pytest.approx(RED, abs=12)


def test_large_picture_is_squeezed_before_it_comes_back() -> None:
    image = halves().resize((900, 450))
    expected = decode(file(image, "PNG"), 100).pixels.int()
    assert (decode(file(image, "AVIF", quality=95), 100).pixels.int() - expected).abs().max() <= 12


def test_limits_hold() -> None:
    with pytest.raises(TooManyPixels, match="32 x 16"):
        decode(avif(), S, Limits(max_pixels=511))


@pytest.mark.parametrize("data", [avif()[:-20], avif()[:60]])
def test_damage(data: bytes) -> None:
    with pytest.raises(CorruptImage, match="AVIF"):
        decode(data, S)


@needs_heic
@pytest.mark.parametrize("kept", [60, 400, 720])
def test_damaged_heic(kept: int) -> None:
    with pytest.raises(CorruptImage, match="HEIC"):
        decode(HEIC[:kept], S)


def test_where_a_reader_is_missing_its_format_is_refused() -> None:
    """An environment older than the handler: the same answer as before."""
    script = (
        "import sys, importlib.util as util; find = util.find_spec\n"
        "util.find_spec = lambda name, *_: None if name == 'pi_heif' else find(name, *_)\n"
        "from handler.decode import ACCEPTED, decode\n"
        "from handler.errors import UnsupportedImage\n"
        "assert 'HEIC' not in ACCEPTED\n"
        "try: decode(sys.stdin.buffer.read(), 8)\n"
        "except UnsupportedImage as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=HEIC, capture_output=True, check=True
    )
    assert b"this is a HEIC" in done.stdout


def test_helper_is_used_again() -> None:
    decode(avif(), S)
    [helper] = isolated._idle
    with pytest.raises(CorruptImage):
        decode(avif()[:-20], S)
    decode(avif(), S)
    assert [helper] == isolated._idle


def test_decoding_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file(Image.effect_noise((1500, 1500), 90), "AVIF", speed=10)
    with monkeypatch.context() as patched:
        patched.setattr(isolated, "SECONDS", 0.02)
        patched.setattr(isolated, "SECONDS_A_MEGAPIXEL", 0.001)
        with pytest.raises(DecodingStopped, match="time"):
            decode(data, S)
    assert isolated._idle == []
    assert decode(data, S).width == 1500


def test_decoding_that_takes_too_much_memory_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "MEMORY", 2**28)
    data = file(Image.new("RGB", (6000, 6000)), "AVIF", speed=10)
    with pytest.raises(DecodingStopped, match="memory"):
        decode(data, S)


def test_helper_that_died_meanwhile_is_replaced() -> None:
    first = decode(avif(), S)
    [helper] = isolated._idle
    helper.kill()
    helper.wait()
    assert torch.equal(decode(avif(), S).pixels, first.pixels)


def test_forked_process_has_a_helper_of_its_own() -> None:
    decode(avif(), S)
    child = os.fork()
    if child == 0:
        os._exit(len(isolated._idle))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(isolated._idle) == 1
