"""The README's picture, of a running page: `python -m tests.e2e.screenshot docs/page.png`."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright
from skimage import data

from tests.e2e.browser import find_browser
from tests.e2e.conftest import CHROMIUM_FLAGS

WINDOW = {"width": 1280, "height": 860}  # pixels


def main() -> None:
    """Caption a photo of scikit-image's and save what the window shows."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    arguments = parser.parse_args()
    photo = io.BytesIO()
    Image.fromarray(data.camera()).save(photo, "JPEG", quality=95)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport=WINDOW)
        page.goto(arguments.url)
        page.locator("#image").set_input_files(
            {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo.getvalue()}
        )
        expect(page.locator("main")).to_have_attribute("data-state", "result", timeout=30_000)
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=arguments.output)


if __name__ == "__main__":
    main()
