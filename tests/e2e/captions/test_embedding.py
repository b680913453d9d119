"""Copies of the pictures with their captions inside, from the page, read back by exiftool."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from basics.inscribing import inscribe
from tests.e2e.accessibility import expect_accessible
from tests.e2e.captioning import ANSWER, SENTENCE

ENTRY = "Pictures with their captions inside (ZIP)"
READ = ("XMP:AltTextAccessibility", "XMP:Description", "EXIF:ImageDescription")


def make_pictures(folder: Path) -> list[Path]:
    """Four that can have a caption inside, one of which has one, and one that cannot."""
    paths = [folder / name for name in ("a.jpg", "b.png", "c.jpg", "d.webp", "e.gif")]
    for number, path in enumerate(paths):
        Image.new("RGB", (60, 40), (40 * number, 90, 120)).save(path)
    paths[2].write_bytes(inscribe(paths[2].read_bytes(), "what it said before"))
    return paths


def answer(route: Route) -> None:
    """A wild guess for d.webp, and for all pictures their own format."""
    body = route.request.post_data_buffer or b""
    [form] = [name for name in ("jpg", "png", "webp", "gif") if f'.{name}"'.encode() in body]
    trust = "unknown" if form == "webp" else "right"
    image = ANSWER["image"] | {"format": {"jpg": "JPEG"}.get(form, form.upper())}
    captions = [ANSWER["captions"][0] | {"trust": trust}]
    route.fulfill(json={**ANSWER, "captions": captions, "image": image})


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
def test_copies_have_the_captions_that_are_shown(page: Page, tmp_path: Path) -> None:
    paths = make_pictures(tmp_path)
    page.route("**/api/captions", answer)
    page.locator("#image").set_input_files(paths)
    expect(page.locator(".card[data-state=done]")).to_have_count(len(paths))
    page.get_by_role("button", name="Edit").click()
    page.locator(".field").fill("„Süße“ dogs & a <ball> 犬")
    page.keyboard.press("Enter")
    page.get_by_role("option", name="c.jpg").click()
    page.get_by_role("button", name="Decorative").click()

    # The server is busy at first; what was asked for is asked for again.
    busy = {"code": 503, "type": "Busy", "message": "Others are being written."}
    page.route("**/api/inscriptions", lambda route: route.fulfill(status=503, json=busy), times=1)
    page.get_by_text("Export").click()
    page.get_by_role("button", name=ENTRY).click()
    expect(page.get_by_role("alert")).to_contain_text("Others are being written.")
    with page.expect_download() as started:
        page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    told = page.locator("[data-slot=exported]")
    expect(told).to_contain_text("3 pictures saved with their captions inside.")
    expect(told).to_contain_text("1 of a kind that holds none")
    expect(told).to_contain_text("1 left out: no caption")
    expect_accessible(page)

    assert started.value.suggested_filename == "captioned.zip"
    folder = tmp_path / "copies"
    with zipfile.ZipFile(io.BytesIO(Path(started.value.path()).read_bytes())) as archive:
        archive.extractall(folder)
    assert (folder / "left-out.txt").read_text().startswith("e.gif: ")
    (folder / "left-out.txt").unlink()
    command = ["exiftool", "-json", "-G", "-struct", folder]
    said = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    captions = {Path(one["SourceFile"]).name: [one.get(tag) for tag in READ] for one in said}
    assert captions == {
        "a.jpg": ["„Süße“ dogs & a <ball> 犬"] * 3,
        "b.png": [SENTENCE] * 3,
        "c.jpg": [""] * 3,
    }


def test_many_copies_come_in_parts(page: Page, tmp_path: Path) -> None:
    paths = make_pictures(tmp_path)[:3]
    page.route("**/api/captions", answer)
    page.locator("#image").set_input_files(paths)
    expect(page.locator(".card[data-state=done]")).to_have_count(len(paths))
    limit = sum(path.stat().st_size + 2000 for path in paths[:2])
    page.locator("#upload").evaluate(f"form => {{ form.dataset.maxZipBytes = {limit}; }}")
    got: dict[str, list[str]] = {}
    for name in ("captioned-1.zip", "captioned-2.zip"):
        with page.expect_download(lambda one, name=name: one.suggested_filename == name) as started:
            if name.endswith("1.zip"):
                page.get_by_text("Export").click()
                page.get_by_role("button", name=ENTRY).click()
        with zipfile.ZipFile(started.value.path()) as archive:
            got[name] = archive.namelist()
    assert got == {"captioned-1.zip": ["a.jpg", "b.png"], "captioned-2.zip": ["c.jpg"]}
