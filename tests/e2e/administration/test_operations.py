"""The operations page in a real browser: over the real service, and over made-up figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.e2e.accessibility import expect_accessible
from tests.e2e.client import COFFEE
from tests.e2e.conftest import Service, console, log_in
from tests.e2e.snapshots import START, snapshot
from tests.shipped import VERSION

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 320, "height": 640}
ANSWER_MS = 20_000
STEPS_TO_ASK = 100  # quarters of a second by the page's clock; it asks every five seconds
LOGGED_OUT = {"code": 401, "type": "NotAuthenticated", "message": "Log in."}
OFF = {"code": 403, "type": "AdministratorOff", "message": "Set CAPTIONIZE_ADMIN_PASSWORD_HASH."}


class Given:
    """What the page gets in place of the service's own figures; `status` 0 is no answer."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.status = 200
        self.body: dict[str, Any] = snapshot()
        self.answered = 0
        page.clock.install(time=START)
        page.route("**/api/operations", self._answer)

    def _answer(self, route: Route) -> None:
        self.answered += 1
        if self.status == 0:
            route.abort()
        else:
            route.fulfill(status=self.status, json=self.body)

    def go_on(self) -> None:
        """Let the page ask once more, and take in what it gets."""
        before = self.answered
        for _ in range(STEPS_TO_ASK):
            self.page.clock.run_for(250)
            if self.answered > before:
                # A later answer of the network comes after all earlier ones have been taken in.
                self.page.evaluate("fetch('/healthz').then(response => response.text())")
                return
        raise AssertionError("the page did not ask again")


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    """A page whose console stays silent but for what the browser says of the network."""
    context = browser.new_context(viewport=DESK, base_url=service.page_url)
    page = context.new_page()
    complaints = console(page)
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def given(page: Page) -> Given:
    """The page over made-up figures, opened and with the first of them."""
    given = Given(page)
    page.goto("/operations")
    expect(page.locator("main")).to_have_attribute("data-state", "good")
    return given


def test_the_use_of_each_key_is_listed_where_there_are_keys(page: Page, given: Given) -> None:
    used = page.locator("[data-slot=keys] li")
    expect(used).to_have_text(
        [re.compile(r"site 7 answered · 2 refused · 0 failed · last .*2026"), re.compile("never")]
    )
    given.body = {**given.body, "keys": []}
    given.go_on()
    expect(page.locator("[data-slot=keyed]")).to_be_hidden()


def figure(page: Page, name: str) -> Locator:
    return page.locator(f"[data-figure={name}]")


def drawn(page: Page, name: str, kind: str = "line") -> str:
    """The path of a figure's line."""
    return figure(page, name).locator(f"svg .{kind}").first.get_attribute("d") or ""


def test_captions_of_the_real_service_are_drawn(browser: Browser, service: Service) -> None:
    for _ in range(3):
        files = {"image": ("coffee.jpg", COFFEE)}
        answer = requests.post(f"{service.page_url}/api/captions", files=files, timeout=30)
        assert answer.status_code == 200
    context = browser.new_context(viewport=DESK, base_url=service.page_url)
    page = context.new_page()
    complaints = console(page)
    log_in(page)
    page.goto("/operations")
    # Other tests may have left failures in the last minute, and some captions.
    coming = re.compile(r"worker ready|of .* captions failed|Captions")
    expect(page.locator(".sentence")).to_have_text(coming, timeout=ANSWER_MS)
    figures = figure(page, "captions").locator(".value")
    expect(figures).to_have_text(re.compile(r"^[1-9]\d*$"), timeout=ANSWER_MS)
    seconds = re.compile(r"^\d+(\.\d+)? (ms|s)$")
    expect(figure(page, "p95_seconds").locator(".value")).to_have_text(seconds)
    expect(figure(page, "failed_share").locator(".value")).to_have_text(re.compile(r"^[\d.]+ %$"))
    expect(figure(page, "waiting")).to_contain_text(re.compile(r"of at most \d+ requests"))
    served = re.compile(rf"^{re.escape(VERSION)} ?default 1 of 1 ready · \d+ MB$")
    listed = page.get_by_role("region", name="Versions").locator("li").filter(has_text=VERSION)
    expect(listed).to_have_text(served)
    assert "M" in drawn(page, "captions")  # it has a past although nobody looked
    expect_accessible(page)
    context.close()
    assert complaints == []


def test_lines_values_and_words_say_the_same(given: Given, page: Page) -> None:
    now = given.body["now"]
    expect(figure(page, "captions").locator(".value")).to_have_text(str(now["captions"]))
    expect(figure(page, "p95_seconds")).to_contain_text("150 ms for half")
    expect(figure(page, "captions")).to_contain_text("peak 120")
    plot = figure(page, "captions").get_by_role("img")
    expect(plot).to_have_accessible_name(re.compile("peak of 120"))
    assert drawn(page, "captions").count("M") == 2  # a gap breaks the line
    assert drawn(page, "captions", "mark").startswith("M120.0 0")  # half an hour ago
    assert figure(page, "captions").locator(".mark").count() == len(given.body["marks"])
    changes = page.get_by_role("region", name="Changes").locator("li")
    expect(changes).to_have_text([re.compile("became the default"), re.compile("registered")])
    versions = page.get_by_role("region", name="Versions").locator("li")
    gpu = r"GPU 1: 37 % busy, 765 MB used"
    both = ["1.1 0 of 0 ready", re.compile(f"^2.0 ?default 2 of 2 ready · 800 MB · {gpu}$")]
    expect(versions).to_have_text(both)
    expect_accessible(page)


@pytest.mark.parametrize(
    ("state", "word"), [("good", "Healthy"), ("warning", "Needs a look"), ("bad", "Down")]
)
def test_health_has_a_colour_a_word_and_a_sign(
    given: Given, page: Page, state: str, word: str
) -> None:
    given.body = snapshot(state=state, sentence="What is.", cause="Why it is.")
    given.go_on()
    status = page.get_by_role("status")
    expect(status).to_contain_text(re.compile(f"{word}.*What is.*Why it is", re.DOTALL))
    expect(status.locator("path:visible")).to_have_class(state)
    expect_accessible(page)


def test_what_is_not_known_is_a_dash(given: Given, page: Page) -> None:
    given.body["now"] |= dict.fromkeys(("p95_seconds", "p50_seconds", "failed_share", "waiting"))
    given.body["history"]["waiting"] = [None] * len(given.body["history"]["time"])
    given.go_on()
    for name in ("p95_seconds", "failed_share", "waiting"):
        expect(figure(page, name).locator(".value")).to_have_text("–")
    assert drawn(page, "waiting") == ""


def test_while_the_page_is_away_the_last_figures_stay(given: Given, page: Page) -> None:
    before = drawn(page, "captions")
    given.status = 0
    given.go_on()
    expect(page.get_by_role("status")).to_contain_text("The charts resume when it is back")
    expect(page.locator("main")).to_have_attribute("data-state", "away")
    assert drawn(page, "captions") == before
    expect_accessible(page)
    given.status, given.body = 500, {"message": "It failed."}
    given.go_on()
    expect(page.get_by_role("status")).to_contain_text("It failed.")
    given.status, given.body = 200, snapshot(START + 10)
    given.go_on()
    expect(page.get_by_role("status")).to_contain_text("Captions are coming")


def test_it_can_be_paused_by_the_keyboard(given: Given, page: Page) -> None:
    button = page.get_by_role("button", name="Pause")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("status")).to_contain_text("No figures are fetched until you resume")
    before = given.answered
    page.clock.run_for(60_000)
    assert given.answered == before
    expect_accessible(page)
    page.keyboard.press("Enter")
    given.go_on()
    expect(page.get_by_role("status")).to_contain_text("Healthy")


def test_out_of_sight_it_asks_nothing(given: Given, page: Page) -> None:
    hide = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    before = given.answered
    page.clock.run_for(60_000)
    assert given.answered == before
    page.evaluate(hide, False)
    given.go_on()


@pytest.mark.parametrize(
    ("body", "sentence", "links"),
    [(LOGGED_OUT, "Log in to see the figures", 1), (OFF, "There is no administrator yet", 0)],
)
def test_who_may_not_see_it_learns_why(
    page: Page, body: dict[str, Any], sentence: str, links: int
) -> None:
    given = Given(page)
    given.status, given.body = int(body["code"]), body
    page.goto("/operations")
    expect(page.get_by_role("status")).to_contain_text(sentence)
    expect(page.get_by_role("link", name="Log in")).to_have_count(links)
    expect(page.locator(".figures")).to_be_hidden()
    expect_accessible(page)
    given.status, given.body = 200, snapshot()
    given.go_on()
    expect(page.get_by_role("status")).to_contain_text("Healthy")
    expect(page.get_by_role("link", name="Log in")).to_have_count(0)


def test_on_a_phone_nothing_reaches_out_of_the_window(given: Given, page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    given.body["now"] |= {"p95_seconds": 12.34, "p50_seconds": 10.25}
    given.go_on()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.get_by_role("button", name="Pause").bounding_box()["height"] >= 24  # type: ignore[index]
    expect_accessible(page)
