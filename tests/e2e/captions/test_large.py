"""Pictures above the limits are made smaller in the browser; those it cannot show are captioned."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import skimage.data
from PIL import Image, ImageChops, ImageOps, ImageStat
from playwright.sync_api import Page, Route, expect

from tests.e2e.captioning import ANSWER, choose, expect_caption

LARGE = 17 * 2**20  # bytes, a MiB above the limit


def sent(page: Page, refusals: list[int]) -> list[bytes]:
    """The pictures that the page will send; answered with the refusals first, then captions."""
    pictures: list[bytes] = []

    def answer(route: Route) -> None:
        body = route.request.post_data_buffer or b""
        start = re.search(rb'name="image"; filename=.*?\r\n\r\n', body, re.DOTALL)
        assert start is not None
        pictures.append(body[start.end() :])
        if refusals:
            problem = {"type": "TooManyPixels", "message": "Too large.", "code": refusals.pop(0)}
            route.fulfill(status=int(str(problem["code"])), json=problem)
        else:
            route.fulfill(json=ANSWER)

    page.route("**/api/captions", answer)
    return pictures


@pytest.mark.parametrize("turn", [1, 6])
@pytest.mark.parametrize(("padding", "refusals"), [(LARGE, []), (0, [422]), (0, [413])])
def test_a_large_picture_is_sent_small_and_upright(
    page: Page, tmp_path: Path, turn: int, padding: int, refusals: list[int]
) -> None:
    path, exif = tmp_path / "photo.jpg", Image.Exif()
    exif[0x112] = turn
    picture = Image.fromarray(skimage.data.coffee()).resize((2400, 1600))
    picture.save(path, exif=exif)
    path.write_bytes(path.read_bytes() + bytes(padding))
    pictures = sent(page, list(refusals))
    choose(page, path)
    expect_caption(page)
    expect(page.locator("[data-slot=image]")).to_contain_text("made smaller to send it")
    assert len(pictures) == 1 + len(refusals)
    small = Image.open(io.BytesIO(pictures[-1]))
    assert small.size == ((1280, 853) if turn == 1 else (853, 1280))
    with Image.open(path) as original:
        upright = ImageOps.exif_transpose(original).resize(small.size)
    difference = ImageStat.Stat(ImageChops.difference(small.convert("RGB"), upright)).mean
    assert max(difference) < 6


def test_what_the_browser_cannot_read_is_sent_as_it_is(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "photo.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(1000))
    pictures = sent(page, [])
    choose(page, path)
    expect(page.get_by_text("This kind of picture cannot be shown here, but it")).to_be_visible()
    expect(page.locator("[data-slot=image]")).not_to_contain_text("smaller")
    assert len(pictures) == 1
