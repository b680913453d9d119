"""What the tests of the captioning page do and look for again and again."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route, expect

MANIFEST = "MAR-INF/MANIFEST.json"
ANSWER_MS = 30_000  # for a caption, on a busy machine
CAPTION = "a dog runs through the grass"
SENTENCE = "A dog runs through the grass"  # as the page shows it
ANSWER: dict[str, Any] = {
    "caption": CAPTION,
    "captions": [
        {
            "caption": CAPTION,
            "log_probability": -4.5,
            "confidence": 0.6,
            "words": [{"word": word, "probability": 0.5} for word in CAPTION.split()],
        },
    ],
    "image": {"width": 64, "height": 48, "format": "PNG"},
    "model": {"name": "captioner", "version": "1.1"},
}


def choose(page: Page, *paths: Path) -> None:
    """Choose files as the button does."""
    with page.expect_file_chooser() as chooser:
        page.get_by_text("Choose pictures").click()
    chooser.value.set_files(paths)


def expect_caption(page: Page) -> str:
    """Wait for a caption beside its picture; returns it."""
    expect(page.locator("main")).to_have_attribute("data-state", "result", timeout=ANSWER_MS)
    caption = page.locator(".caption").inner_text()
    assert caption.strip()
    picture = page.locator(".result .picture img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    return caption


def expect_problem(page: Page, title: str, message: str) -> None:
    """Wait for an error."""
    problem = page.get_by_role("alert")
    expect(problem.get_by_role("heading", name=title)).to_be_visible(timeout=ANSWER_MS)
    expect(problem).to_contain_text(message)
    expect(page.locator(".result")).to_have_count(0)


def expect_no_sideways_scrolling(page: Page) -> None:
    """Nothing reaches out of the window."""
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]  # type: ignore[index]


def answer_all(page: Page, answer: dict[str, Any] = ANSWER) -> None:
    """Have the browser itself answer every caption, at once and always the same."""
    page.route("**/api/captions", lambda route: route.fulfill(json=answer))


def copies(path: Path, count: int, folder: Path) -> Sequence[Path]:
    """`count` files with this one's content, named 001, 002 and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / f"{number:03}{path.suffix}" for number in range(1, count + 1)]
    for one in made:
        one.write_bytes(path.read_bytes())
    return made


def download(page: Page, name: str) -> bytes:
    """The file that an entry of the export menu gives."""
    page.get_by_text("Export").click()
    with page.expect_download() as started:
        page.get_by_role("button", name=name, exact=True).click()
    return Path(started.value.path()).read_bytes()


def repack(archive: Path, output: Path, version: str) -> None:
    """The same archive under another version's number."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(output, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if member.filename == MANIFEST:
                manifest = json.loads(content)
                manifest["model"]["modelVersion"] = version
                content = json.dumps(manifest).encode()
            new.writestr(member, content)


class Held:
    """Requests for captions that are held back until they are let go."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.routes: list[Route] = []
        self.released = 0
        page.route("**/api/captions", lambda route: self.routes.append(route))

    @property
    def pending(self) -> int:
        """How many are held just now."""
        return len(self.routes) - self.released

    def release(self) -> None:
        """Answer the oldest one; it may still be on its way here."""
        give_up = time.monotonic() + ANSWER_MS / 1000
        while not self.pending and time.monotonic() < give_up:
            self.page.wait_for_timeout(10)
        self.routes[self.released].fulfill(json=ANSWER)
        self.released += 1
