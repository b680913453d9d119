"""The whole of it, by one administrator on one running service with the shipped captioner."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.captioning import ANSWER_MS, choose, copies, download, expect_caption, repack
from tests.e2e.conftest import DESK, Service, console, log_in
from tests.shipped import ARCHIVE, VERSION

JOB_MS = 120_000


@pytest.fixture(autouse=True)
def _second(store: Path) -> Iterator[None]:
    """A second version of the shipped captioner in the model store."""
    second = store / "second.mar"
    repack(store / ARCHIVE.name, second, "6.0")
    yield
    second.unlink()


def card(page: Page, version: str) -> Locator:
    heading = page.get_by_role("heading", name=version, exact=True)
    return page.get_by_role("article").filter(has=heading)


def confirm(page: Page, button: str, outcome: str) -> None:
    """Confirm in the dialog that is open, and wait for what comes of it."""
    page.get_by_role("dialog").get_by_role("button", name=button).click()
    shown = page.locator(".outcome:not(.running)").filter(has_text=outcome)
    expect(shown.first).to_be_visible(timeout=JOB_MS)


def test_from_thirty_pictures_to_a_version_and_back(
    browser: Browser, service: Service, pictures: dict[str, Path], tmp_path: Path
) -> None:
    context = browser.new_context(viewport=DESK, base_url=service.page_url)  # type: ignore[arg-type]
    page = context.new_page()
    complaints = console(page)

    # Thirty pictures; where a word looked; an edit; an export.
    page.goto("/")
    choose(page, *copies(pictures["coffee.jpg"], 30, tmp_path / "thirty"))
    expect(page.locator(".card[data-state=done]")).to_have_count(30, timeout=4 * ANSWER_MS)
    expect_caption(page)
    page.locator(".caption .word").nth(1).hover()
    expect(page.locator(".picture canvas")).to_be_visible(timeout=ANSWER_MS)
    page.get_by_role("button", name="Edit", exact=True).click()
    page.locator(".field").fill("A cup of coffee on a saucer")
    page.keyboard.press("Enter")
    rows = list(csv.DictReader(io.StringIO(download(page, "Table (CSV)").decode(), newline="")))
    assert len(rows) == 30
    assert rows[0]["caption"] == "A cup of coffee on a saucer"
    assert len({row["caption"] for row in rows[1:]}) == 1

    # A second version: registered, compared, made the default, rolled back, unregistered.
    page.on("dialog", lambda dialog: dialog.accept())  # should the browser ask before leaving
    log_in(page)
    page.get_by_role("button", name="Register second.mar").click()
    page.get_by_label("Batch size").fill("4")
    confirm(page, "Register", "captioner 6.0 is registered with 1 worker.")
    expect(card(page, "6.0")).to_contain_text("4, within")  # over the archive's own 8
    page.goto("/compare")
    expect(page.get_by_label("Right", exact=True)).to_have_value("6.0")
    choose(page, pictures["coffee.jpg"])
    pair = page.locator(".pair[data-state=done]")
    expect(pair).to_contain_text("Right: version 6.0", timeout=ANSWER_MS)
    expect(pair).to_contain_text("Both say the same")  # for it is the same model
    page.goto("/versions")
    card(page, "6.0").get_by_role("button", name="Make default").click()
    confirm(page, "Make default", "captioner 6.0 is the default.")
    expect(card(page, "6.0")).to_contain_text("Default")
    page.get_by_role("button", name=f"Roll back to {VERSION}").click()
    expect(card(page, VERSION)).to_contain_text("Default")
    card(page, "6.0").get_by_role("button", name="Unregister").click()
    confirm(page, "Unregister", "captioner 6.0 is unregistered.")
    expect(card(page, "6.0")).to_have_count(0)
    context.close()
    assert complaints == []
