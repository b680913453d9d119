"""The versions page over the real TorchServe."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from werkzeug.serving import make_server

from tests.e2e.accessibility import expect_accessible
from tests.e2e.administration.conftest import archive, caption
from tests.e2e.conftest import Service, console, log_in
from tests.shipped import VERSION
from tests.webui.administration import PASSWORD
from webui import create_app

pytestmark = pytest.mark.usefixtures("archives")


DESK = {"width": 1280, "height": 900}
PHONE = {"width": 320, "height": 640}
JOB_MS = 60_000


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    """The versions page of the logged-in administrator, whose console stays silent."""
    context = browser.new_context(viewport=DESK, base_url=service.page_url)  # type: ignore[arg-type]
    page = context.new_page()
    complaints = console(page)
    log_in(page)
    yield page
    context.close()
    assert complaints == []


def card(page: Page, version: str) -> Locator:
    """The card of a version of the captioner."""
    heading = page.get_by_role("heading", name=version, exact=True)
    return page.get_by_role("article").filter(has=heading)


def outcome(page: Page, text: str) -> None:
    """Wait until this is shown as done or failed, and said to screen readers."""
    shown = page.locator(".outcome:not(.running)").filter(has_text=text)
    expect(shown.first).to_be_visible(timeout=JOB_MS)
    expect(page.locator("#announce")).to_contain_text(text)


def expect_no_sideways_scrolling(page: Page) -> None:
    for size in (PHONE, DESK):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_the_login(browser: Browser, service: Service) -> None:
    context = browser.new_context(viewport=PHONE, base_url=service.page_url)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/versions")
    expect(page.get_by_label("Password")).to_be_focused()
    expect_accessible(page)
    page.keyboard.type("a guess")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not the administrator's password")
    expect_accessible(page)
    expect_no_sideways_scrolling(page)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_have_attribute("data-state", "shown")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    context.close()


def test_a_version_comes_and_goes(page: Page, service: Service) -> None:
    first = card(page, VERSION)
    expect(first.locator(".state")).to_have_text("Ready")
    expect(first).to_contain_text("Default")
    expect(first.get_by_role("button", name="Unregister")).to_be_disabled()
    expect(first.locator(".workers li")).to_contain_text("ready")
    first.get_by_text("About this model").click()
    expect(first).to_contain_text("Describes a photo in one English sentence.")
    expect(first).to_contain_text("CIDEr0.58")
    expect_accessible(page)
    expect_no_sideways_scrolling(page)

    page.get_by_role("button", name="Register second.mar").click()
    expect(page.get_by_role("spinbutton", name="Workers")).to_be_focused()
    expect_accessible(page)
    page.get_by_label("Batch size").fill("4")
    page.get_by_role("dialog").get_by_role("button", name="Register").click()
    outcome(page, "captioner 5.0 is registered with 1 worker.")
    second = card(page, "5.0")
    expect(second.locator(".state")).to_have_text("Ready")
    expect(second).to_contain_text("4, within")
    expect(page.locator("#scores tr").filter(has_text="CIDEr")).to_contain_text("0.500")
    expect(page.locator("#path [aria-current]")).to_contain_text("Compare")

    second.get_by_role("button", name="Note").click()
    page.get_by_label("Note", exact=True).fill("Says the names of variables.")
    page.get_by_role("textbox", name="Tags").fill("toy, try ")
    page.get_by_role("button", name="Keep").click()
    outcome(page, "The note on captioner 5.0 is kept.")
    expect(second).to_contain_text("Says the names of variables.")
    expect(second.get_by_role("list", name="Tags").get_by_role("listitem")).to_have_text(
        ["toy", "try"]
    )

    second.get_by_role("button", name="Workers").click()
    page.get_by_role("spinbutton", name="Workers").fill("2")
    page.keyboard.press("Enter")
    outcome(page, "captioner 5.0 has 2 workers.")
    expect(second.locator(".workers li")).to_have_count(2)

    page.locator("#canary-share").fill("100")
    page.get_by_role("button", name="Turn on").click()
    outcome(page, "100% of the captions go to 5.0.")
    expect(second).to_contain_text("Canary, 100%")
    assert caption(service).json()["model"]["version"] == "5.0"
    expect(page.locator("#compared tr").nth(1).locator("td").first).not_to_have_text("0")
    expect_accessible(page)
    expect_no_sideways_scrolling(page)
    page.get_by_role("button", name="Turn off").click()
    outcome(page, "The canary is off.")

    second.get_by_role("button", name="Make default").click()
    page.get_by_role("dialog").get_by_role("button", name="Make default").click()
    outcome(page, "captioner 5.0 is the default.")
    expect(second).to_contain_text("Default")
    assert caption(service).json()["model"]["version"] == "5.0"

    page.get_by_role("button", name=f"Roll back to {VERSION}").click()
    outcome(page, f"Rolled back: captioner {VERSION} is the default again.")
    assert caption(service).json()["model"]["version"] == VERSION
    line = page.locator("#timeline li")
    expect(line.first).to_contain_text(f"captioner {VERSION} is live by the administrator")
    expect(line.nth(1)).to_contain_text(f"Rolled back: captioner {VERSION} is the default")
    expect(line.nth(2)).to_contain_text("captioner 5.0 went live")
    expect_accessible(page)

    second.get_by_role("button", name="Unregister").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The archive second.mar stays in the model store")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(second.get_by_role("button", name="Unregister")).to_be_focused()
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Unregister").click()
    outcome(page, "captioner 5.0 is unregistered.")
    expect(second).to_have_count(0)
    expect(page.locator("main")).to_be_focused()
    history = page.locator("#audit li").first
    expect(history).to_contain_text("captioner 5.0 is unregistered.")
    expect(history).to_contain_text("The administrator at 127.0.0.1")
    assert page.locator("#audit").get_by_text("Logged in.").count() == 0
    page.get_by_label("Shown in the history").select_option("Log-ins")
    expect(history).to_contain_text("Logged in.")
    expect_accessible(page)


def test_what_could_not_be_brought_back_is_said(page: Page) -> None:
    message = "There is no such file in the model store."
    lost = {"model": "captioner", "version": "6.0", "message": message}

    def answer(route: Route) -> None:
        models = route.fetch().json()
        route.fulfill(json={**models, "lost": [lost], "unsaved": "The disk is full."})

    page.route("**/api/models", answer)
    note = page.locator("#lost")
    expect(note).to_contain_text(f"captioner 6.0 could not be brought back. {message}")
    expect(page.locator("#unsaved")).to_contain_text("The disk is full.")
    expect_accessible(page)
    expect_no_sideways_scrolling(page)
    page.route("**/api/models/captioner/6.0", lambda route: route.fulfill(status=204))
    page.get_by_role("button", name="Forget captioner 6.0").click()
    outcome(page, "captioner 6.0 is not wanted any more.")
    page.unroute("**/api/models")
    expect(note).to_be_empty()
    expect(page.locator("#unsaved")).to_be_hidden()


def test_what_cannot_start_is_undone(page: Page) -> None:
    page.get_by_role("button", name="Register broken.mar").click()
    page.get_by_role("dialog").get_by_role("button", name="Register").click()
    expect(page.locator(".outcome.running")).to_contain_text("Registering captioner 4.0")
    outcome(page, "crash while starting: OSError: no weights.")
    expect(page.get_by_role("article")).to_have_count(1)
    expect_accessible(page)
    expect_no_sideways_scrolling(page)


def test_an_archive_is_uploaded(page: Page, store: Path, tmp_path: Path) -> None:
    new = archive(tmp_path / "new.mar", "5.0")
    try:
        page.get_by_label("Upload an archive").set_input_files(new)
        outcome(page, "new.mar (captioner 5.0) is in the model store")
        expect(page.get_by_role("button", name="Register new.mar")).to_be_visible()
        assert (store / "new.mar").read_bytes() == new.read_bytes()
        page.get_by_role("button", name="Delete new.mar").click()
        expect_accessible(page)
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        outcome(page, "new.mar is deleted.")
        expect(page.get_by_role("button", name="Register new.mar")).to_have_count(0)
        expect(page.get_by_role("button", name="Delete captioner.mar")).to_have_count(0)
        assert not (store / "new.mar").exists()
        text = tmp_path / "text.mar"
        text.write_text("This is no archive.")
        page.get_by_label("Upload an archive").set_input_files(text)
        outcome(page, "Expected a model archive")
    finally:
        (store / "new.mar").unlink(missing_ok=True)


def test_the_page_says_when_the_service_is_away_and_recovers(page: Page) -> None:
    away = {"code": 502, "type": "CaptioningAway", "message": "The service cannot be reached."}
    page.route("**/api/models", lambda route: route.fulfill(status=502, json=away))
    expect(page.locator("#away")).to_contain_text("The service cannot be reached.")
    expect(card(page, VERSION)).to_be_visible()
    expect_accessible(page)
    page.unroute("**/api/models")
    expect(page.locator("#away")).to_be_hidden()
    page.route("**/api/**", lambda route: route.abort())
    expect(page.locator("#away")).to_contain_text("The page's server cannot be reached.")
    page.unroute("**/api/**")
    expect(page.locator("#away")).to_be_hidden()


def test_a_session_that_has_ended_leads_to_the_login(page: Page) -> None:
    page.context.clear_cookies()
    expect(page.get_by_label("Password")).to_be_visible()


def test_without_an_administrator_the_page_says_how(browser: Browser) -> None:
    server = make_server("127.0.0.1", 0, create_app(), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    page = browser.new_page(viewport=PHONE)  # type: ignore[arg-type]
    try:
        page.goto(f"http://127.0.0.1:{server.port}/versions")
        expect(page.get_by_role("heading", name="The administrator is off")).to_be_visible()
        expect_accessible(page)
        expect_no_sideways_scrolling(page)
    finally:
        page.close()
        server.shutdown()
        thread.join()
        server.server_close()
