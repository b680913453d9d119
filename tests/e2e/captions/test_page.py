"""The page in a real browser, over the real service."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.accessibility import expect_accessible
from tests.e2e.captioning import (
    ANSWER_MS,
    answer_all,
    choose,
    expect_caption,
    expect_problem,
)
from tests.shipped import VERSION

PHONE = {"width": 320, "height": 640}
RETRY_AFTER = {"Retry-After": "3600"}


def test_a_chosen_picture_gets_its_caption(page: Page, pictures: dict[str, Path]) -> None:
    choose(page, pictures["coffee.jpg"])
    caption = expect_caption(page)
    assert caption[0].isupper()
    result = page.locator(".result")
    expect(result).to_contain_text("600 × 400 JPEG")
    expect(result).to_contain_text(f"captioner {VERSION}")
    expect(result.locator("[data-slot=percent]").first).to_have_text(re.compile(r"^(<1|\d+)%$"))
    expect(page.locator(".alternatives li")).to_have_count(2)
    expect(page.get_by_role("status")).to_contain_text(caption, ignore_case=True)
    words = page.locator(".caption .word")
    assert words.count() >= 1
    expect(words.first).to_have_attribute("title", re.compile(r"% sure$"))
    expect_accessible(page)
    page.get_by_text("Details", exact=True).click()
    expect(page.get_by_role("heading", name="How sure of each word")).to_be_visible()
    expect(page.locator(".words li")).to_have_count(words.count())
    # To a screen reader the caption is a text, once, and its words no buttons.
    assert "button" not in page.locator(".caption").aria_snapshot()


def test_a_dropped_picture_gets_its_caption(page: Page, pictures: dict[str, Path]) -> None:
    content = list(pictures["cat.png"].read_bytes())
    transfer = page.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            const file = new File([new Uint8Array(bytes)], "cat.png", {type: "image/png"});
            transfer.items.add(file);
            return transfer;
        }""",
        content,
    )
    page.dispatch_event("main", "dragenter", {"dataTransfer": transfer})
    expect(page.locator("html")).to_have_class("dragging")
    page.dispatch_event("main", "drop", {"dataTransfer": transfer})
    expect(page.locator("html")).not_to_have_class("dragging")
    expect_caption(page)
    expect(page.locator(".result")).to_contain_text("451 × 300 PNG")


def test_a_pasted_picture_gets_its_caption(page: Page, pictures: dict[str, Path]) -> None:
    page.evaluate(
        """bytes => navigator.clipboard.write([new ClipboardItem({
            "image/png": new Blob([new Uint8Array(bytes)], {type: "image/png"}),
        })])""",
        list(pictures["cat.png"].read_bytes()),
    )
    page.keyboard.press("Control+V")
    expect_caption(page)
    expect(page.locator(".result")).to_contain_text("451 × 300")


def test_pasted_text_is_answered_with_what_to_do(page: Page) -> None:
    page.evaluate("navigator.clipboard.writeText('no picture')")
    page.keyboard.press("Control+V")
    expect_problem(page, "That did not work", "There is no picture on the clipboard")


def test_a_text_file_named_jpg_is_an_error_and_the_next_picture_works(
    page: Page, pictures: dict[str, Path]
) -> None:
    choose(page, pictures["text.jpg"])
    expect_problem(page, "This is not a picture we can read", "JPEG")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    expect_accessible(page)
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_an_empty_file_is_an_error(page: Page, pictures: dict[str, Path]) -> None:
    choose(page, pictures["empty.jpg"])
    expect_problem(page, "That did not work", "This file is empty")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_a_picture_over_the_limit_is_an_error_before_it_is_sent(page: Page) -> None:
    page.evaluate(
        """() => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(17 * 1024 * 1024)], "large.jpg"));
            const drop = new DragEvent("drop", {dataTransfer: transfer, bubbles: true});
            document.body.dispatchEvent(drop);
        }"""
    )
    expect_problem(page, "This picture is too large", "at most 16 MB")


@pytest.mark.parametrize("code", [429, 502, 503])
def test_a_busy_service_is_waited_for(page: Page, pictures: dict[str, Path], code: int) -> None:
    page.route(
        "**/api/captions",
        lambda route: route.fulfill(status=code, json={"message": "No."}, headers=RETRY_AFTER),
    )
    choose(page, pictures["coffee.jpg"])
    hold = page.locator(".hold")
    expect(hold).to_contain_text("1 picture kept; the next try is in")
    expect(page.get_by_role("status")).to_contain_text("kept and tried again")
    expect_accessible(page)
    page.unroute("**/api/captions")
    page.get_by_role("button", name="Try now").click()
    expect_caption(page)
    expect(hold).to_be_hidden()


def test_a_lost_connection_heals_by_itself(page: Page, pictures: dict[str, Path]) -> None:
    page.route("**/api/captions", lambda route: route.abort("connectionrefused"), times=1)
    choose(page, pictures["coffee.jpg"])
    expect(page.locator(".hold")).to_contain_text("The server cannot be reached")
    expect_caption(page)


def test_an_error_can_be_retried(page: Page, pictures: dict[str, Path]) -> None:
    page.route("**/api/captions", lambda route: route.fulfill(status=400, json={"message": "X."}))
    choose(page, pictures["coffee.jpg"])
    expect_problem(page, "That did not work", "X.")
    page.unroute("**/api/captions")
    page.get_by_role("button", name="Try again").click()
    expect_caption(page)


def test_a_caption_can_be_cancelled(page: Page, pictures: dict[str, Path]) -> None:
    page.route("**/api/captions", lambda route: None)  # never answered
    choose(page, pictures["coffee.jpg"])
    expect(page.get_by_text("Reading the picture…")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect_problem(page, "Cancelled", "coffee.jpg was not captioned")
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("main")).to_have_attribute("data-state", "empty")
    expect(page.get_by_label("Choose pictures")).to_be_focused()


def test_options_are_sent(page: Page, pictures: dict[str, Path]) -> None:
    page.get_by_text("Options").click()
    page.get_by_text("Details of the search").click()
    page.get_by_label("Beam size").fill("4")
    page.get_by_label("Captions", exact=True).fill("4")
    page.get_by_label("Longest caption").fill("2")
    page.get_by_label("People").select_option("neutral")
    page.get_by_label("Alternatives").select_option("different")
    choose(page, pictures["coffee.jpg"])
    caption = expect_caption(page)
    sent = page.locator("[data-slot=code]")
    expect(sent).to_contain_text("-F 'people=neutral'")
    expect(sent).to_contain_text("-F 'alternatives=different'")
    expect(page.locator(".alternatives li")).to_have_count(3)
    assert len(caption.split()) <= 2
    page.reload()
    page.get_by_text("Options").click()
    expect(page.get_by_label("Beam size")).to_have_value("4")
    expect(page.get_by_label("Longest caption")).to_have_value("2")
    expect(page.get_by_label("People")).to_have_value("neutral")
    expect_accessible(page)


def test_a_picture_is_captioned_again_with_other_options(
    page: Page, pictures: dict[str, Path]
) -> None:
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    page.get_by_text("Options").click()
    page.get_by_label("Longest caption").fill("1")
    page.get_by_role("button", name="Caption this picture again").click()
    expect(page.locator(".caption .word")).to_have_count(1, timeout=ANSWER_MS)


def test_a_wrong_option_is_pointed_at(page: Page, pictures: dict[str, Path]) -> None:
    page.get_by_text("Options").click()
    page.get_by_text("Details of the search").click()
    page.get_by_label("Beam size").fill("9")
    page.get_by_text("Options", exact=True).click()
    choose(page, pictures["coffee.jpg"])
    expect(page.get_by_label("Beam size")).to_be_visible()
    expect(page.get_by_label("Beam size")).to_be_focused()
    expect(page.locator("main")).to_have_attribute("data-state", "empty")


@pytest.mark.parametrize("code", [500, 504])
def test_a_picture_that_fails_is_tried_a_few_times_only(
    page: Page, pictures: dict[str, Path], code: int
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.route("**/api/captions", lambda route: route.fulfill(status=code, json={"message": "X."}))
    choose(page, pictures["coffee.jpg"])
    for _ in range(2):
        page.get_by_role("button", name="Try now").click()
    expect(page.get_by_role("alert")).to_contain_text("X.")
    assert sum(url.endswith("/api/captions") for url in asked) == 3
    page.unroute("**/api/captions")
    answer_all(page)
    page.get_by_role("button", name="Try again").click()
    expect_caption(page)
