"""The README's pictures, of a running page: `python -m tests.e2e.screenshot docs`.

With the administrator's password (`--password`) also those of the pages that are the
administrator's. A second version should be registered then.
"""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, expect, sync_playwright
from skimage import data

from tests.e2e.browser import find_browser
from tests.e2e.captioning import ANSWER_MS
from tests.e2e.conftest import CHROMIUM_FLAGS, log_in

WINDOW = {"width": 1280, "height": 860}  # pixels
PHOTOS = ("camera", "astronaut", "coffee", "chelsea", "rocket")


def photo(name: str) -> FilePayload:
    """One of scikit-image's photos as a file."""
    file = io.BytesIO()
    Image.fromarray(getattr(data, name)()).save(file, "JPEG", quality=95)
    return {"name": f"{name}.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()}


def captioned(browser: Browser, url: str, *names: str, **window: object) -> Page:
    """A page on which these photos have their captions, the first shown large."""
    page = browser.new_page(**{"viewport": WINDOW, **window})  # type: ignore[arg-type]
    page.goto(url)
    page.locator("#image").set_input_files([photo(name) for name in names])
    expect(page.locator(".card[data-state=done]")).to_have_count(len(names), timeout=ANSWER_MS)
    return page


def save(page: Page, path: Path) -> None:
    """Save what the window shows, in 256 colours: a third of the bytes."""
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        shot.convert("RGB").quantize(256).save(path, optimize=True)


def administered(browser: Browser, url: str, password: str, folder: Path) -> None:
    """Save what the administrator sees."""
    page = browser.new_page(viewport=WINDOW, base_url=url)
    log_in(page, password)
    save(page, folder / "versions.png")
    page.goto("/operations")
    expect(page.locator("main")).to_have_attribute("data-state", "good", timeout=ANSWER_MS)
    for _ in range(5):
        captioned(browser, url, *PHOTOS, *PHOTOS).close()
        page.wait_for_timeout(5_000)  # between the answers that the charts are made of
    save(page, folder / "operations.png")


def main() -> None:
    """Caption photos and save what the window shows."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--password")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    arguments = parser.parse_args()
    folder, url = arguments.folder, arguments.url
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_FLAGS)
        one = captioned(browser, url, PHOTOS[0])
        save(one, folder / "page.png")
        one.locator(".caption .word").nth(1).hover()
        expect(one.locator(".picture canvas")).to_be_visible(timeout=ANSWER_MS)
        save(one, folder / "looking.png")
        many = captioned(browser, url, *PHOTOS, color_scheme="dark")
        many.get_by_role("button", name=re.compile(r"^Check \d")).click()
        save(many, folder / "session.png")
        if arguments.password:
            administered(browser, url, arguments.password, folder)
        browser.close()


if __name__ == "__main__":
    main()
