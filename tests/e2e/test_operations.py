"""The operations page in a real browser: over the real service, and over made-up figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.e2e.accessibility import expect_accessible
from tests.e2e.conftest import Service, console, log_in
from tests.e2e.snapshots import Story
from tests.e2e.test_serving import COFFEE
from tests.webui.administration import HASH

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 320, "height": 640}
ANSWER_MS = 20_000
STEPS_TO_ASK = 200  # quarters of a second by the page's clock; it asks every two seconds
SIGNED_OUT = {"code": 401, "type": "NotAuthenticated", "message": "Sign in."}
OFF = {"code": 403, "type": "AdministratorOff", "message": "Set CAPTIONIZE_ADMIN_PASSWORD_HASH."}


class Told:
    """What the page is told in place of the service's own figures; `status` 0 is no answer."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.story = Story()
        self.status = 200
        self.body: dict[str, Any] = {}
        self.problems: list[dict[str, str]] = []
        self.answered = 0
        page.clock.install(time=self.story.time)
        page.route("**/api/operations", self._answer)

    def _answer(self, route: Route) -> None:
        self.answered += 1
        if self.status == 0:
            route.abort()
        elif self.status == 200:
            route.fulfill(json={**self.story.tell(2), "problems": self.problems})
        else:
            route.fulfill(status=self.status, json=self.body)

    def go_on(self, steps: int) -> None:
        """Let the page ask so many times more, and take in what it is told."""
        for _ in range(steps):
            before = self.answered
            for _ in range(STEPS_TO_ASK):
                self.page.clock.run_for(250)
                if self.answered > before:
                    break
            assert self.answered > before, "the page did not ask again"
        # A later answer of the network comes after all earlier ones have been taken in.
        self.page.evaluate("fetch('/healthz').then(response => response.text())")


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
def told(page: Page) -> Told:
    """The page over made-up figures, opened and with the first of them."""
    told = Told(page)
    page.goto("/operations")
    expect(page.locator("main")).to_have_attribute("data-state", "live")
    return told


def chart(page: Page, name: str) -> Locator:
    return page.locator(f"[data-chart={name}]")


def value(page: Page, name: str, line: int = 0) -> str:
    return chart(page, name).locator("dd").nth(line).inner_text()


def strokes(page: Page, name: str) -> int:
    """Of how many stretches the first line of a chart is made."""
    return chart(page, name).locator(".plot .line").first.get_attribute("d").count("M")  # type: ignore[union-attr]


@pytest.fixture
def administered(tmp_path: Path) -> Iterator[Service]:
    """A service with an administrator."""
    running = Service(tmp_path / "run", {"CAPTIONIZE_ADMIN_PASSWORD_HASH": HASH}).start()
    yield running
    running.stop()


def test_captions_of_the_real_service_are_drawn(browser: Browser, administered: Service) -> None:
    context = browser.new_context(viewport=DESK, base_url=administered.page_url)  # type: ignore[arg-type]
    page = context.new_page()
    complaints = console(page)
    log_in(page)
    page.goto("/operations")
    expect(page.locator("main")).to_have_attribute("data-state", "live", timeout=ANSWER_MS)
    for _ in range(3):
        files = {"image": ("coffee.jpg", COFFEE)}
        answer = requests.post(f"{administered.page_url}/api/captions", files=files, timeout=30)
        assert answer.status_code == 200
    seconds = re.compile(r"^\d+(\.\d+)? (ms|s)$")
    for name in ("latency", "stages"):
        expect(chart(page, name).locator("dd").first).to_have_text(seconds, timeout=ANSWER_MS)
    row = page.locator(".versions tbody tr").first
    expect(row).to_contain_text("captioner 1.1")
    expect(row).to_contain_text("1 ready")
    expect(row).to_contain_text("up to 8")
    reached = chart(page, "batch").locator("dd").first
    expect(reached).to_have_text(re.compile(r"^[1-8](\.\d+)?$"), timeout=ANSWER_MS)
    memory = chart(page, "memory").locator("dd").first
    expect(memory).to_have_text(re.compile(r"^\d+ MB$"), timeout=ANSWER_MS)
    expect(chart(page, "gpu")).to_be_hidden()
    expect_accessible(page)
    context.close()
    assert complaints == []


def test_lines_values_and_words_say_the_same(told: Told, page: Page) -> None:
    told.go_on(40)
    expect(chart(page, "requests").locator("dd").first).to_have_text(
        re.compile(r"^[4-7](\.\d+)?/s$")
    )
    label = chart(page, "requests").locator("svg[role=img]").get_attribute("aria-label")
    assert label is not None
    assert label.startswith("Requests a second in the last 10 minutes. Answered: now ")
    assert value(page, "requests") in label
    assert strokes(page, "requests") == 1
    half, most = value(page, "latency"), value(page, "latency", 1)
    assert half.endswith(" ms")
    assert float(half.split()[0]) < float(most.split()[0])
    assert value(page, "batch", 1) == "8"
    expect(page.locator(".versions tbody tr")).to_have_count(1)


def test_a_table_has_the_figures_of_the_lines(told: Told, page: Page) -> None:
    told.go_on(45)
    summary = chart(page, "requests").locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    rows = chart(page, "requests").locator("tbody tr")
    expect(rows.first).to_be_visible()
    assert 10 <= rows.count() <= 21
    expect(rows.first.locator("td").nth(1)).to_have_text(value(page, "requests"))
    expect(chart(page, "requests").locator("thead th")).to_have_text(
        ["Time", "Answered", "Refused (4xx)", "Failed (5xx)"]
    )
    expect_accessible(page)


def test_a_time_away_is_a_gap_that_is_told_and_ends(told: Told, page: Page) -> None:
    told.go_on(10)
    told.status = 0
    told.go_on(3)
    expect(page.get_by_role("status")).to_contain_text("does not answer")
    expect(page.locator("main")).to_have_attribute("data-state", "away")
    expect_accessible(page)
    told.status = 200
    told.go_on(10)
    expect(page.get_by_role("status")).to_contain_text("Live")
    assert strokes(page, "requests") == 2
    assert strokes(page, "queue") == 2


def test_a_new_start_of_the_page_makes_no_figure_wrong(told: Told, page: Page) -> None:
    told.go_on(10)
    told.story.started = told.story.time
    told.story.counts = dict.fromkeys(told.story.counts, 0.0)
    told.story.buckets = [0.0] * len(told.story.buckets)
    told.go_on(1)
    assert value(page, "requests") == "–"
    told.go_on(5)
    expect(chart(page, "requests").locator("dd").first).to_have_text(re.compile(r"^\d+(\.\d+)?/s$"))
    assert strokes(page, "requests") == 2
    assert "-" not in "".join(chart(page, "requests").locator("dd").all_inner_texts())


def test_without_torchserves_figures_it_says_so_and_draws_its_own(told: Told, page: Page) -> None:
    told.problems = [{"source": "metrics", "type": "X", "message": "It cannot be reached."}]
    told.go_on(2)
    expect(page.get_by_role("status")).to_contain_text("It cannot be reached.")
    expect(page.locator("main")).to_have_attribute("data-state", "partly")
    assert value(page, "requests").endswith("/s")


def test_it_can_be_paused(told: Told, page: Page) -> None:
    told.go_on(3)
    button = page.get_by_role("button", name="Pause")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("status")).to_contain_text("Paused")
    before = told.story.time
    page.clock.run_for(20_000)
    assert told.story.time == before
    button.click()
    expect(page.get_by_role("status")).to_contain_text("Live")
    assert told.story.time >= before + 2


def test_the_time_shown_can_be_chosen(told: Told, page: Page) -> None:
    told.go_on(2)
    page.get_by_label("Show the last").select_option("5")
    expect(chart(page, "requests").locator(".times")).to_contain_text("5 min ago")


def test_gpus_are_drawn_where_there_are_some(told: Told, page: Page) -> None:
    told.story.gpus = 2
    told.story.versions = ("1.1", "2.0")
    told.go_on(5)
    expect(chart(page, "gpu").locator("dt")).to_have_text(["GPU 0", "GPU 1"])
    expect(chart(page, "gpumemory").locator("dd").first).to_have_text("3 GB")
    expect(chart(page, "memory").locator("dt")).to_have_text(["captioner 1.1", "captioner 2.0"])
    expect_accessible(page)


@pytest.mark.parametrize(
    ("body", "title", "link"),
    [(SIGNED_OUT, "Sign in to see the figures", 1), (OFF, "There is no administrator yet", 0)],
)
def test_who_may_not_see_it_is_told(
    page: Page, body: dict[str, Any], title: str, link: int
) -> None:
    told = Told(page)
    told.status, told.body = int(body["code"]), body
    page.goto("/operations")
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    expect(page.get_by_role("link", name="Sign in")).to_have_count(link)
    expect(page.locator(".charts")).to_be_hidden()
    expect_accessible(page)
    told.status = 200
    page.clock.run_for(15_000)
    expect(page.get_by_role("status")).to_contain_text("Live")
    expect(page.get_by_role("heading", name=title)).to_be_hidden()


def test_on_a_phone_nothing_reaches_out_of_the_window(told: Told, page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    told.story.gpus = 1
    told.go_on(3)
    for summary in page.locator(".chart:visible summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    small = page.evaluate(
        """() => [...document.querySelectorAll("summary, button, select, a")]
            .filter(one => one.checkVisibility() && !one.closest(".skip"))
            .filter(one => one.getBoundingClientRect().height < 24)
            .map(one => one.textContent.trim())"""
    )
    assert small == []
    expect_accessible(page)
