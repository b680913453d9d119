"""How far a caption can be trusted, as the page says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.accessibility import expect_accessible
from tests.e2e.captioning import (
    ANSWER,
    SENTENCE,
    answer_all,
    choose,
    expect_caption,
    expect_no_sideways_scrolling,
)


@pytest.mark.parametrize(
    ("found", "trust", "meaning"),
    [
        ({"confidence": 0.1}, "Check", "Not sure: may well be wrong."),
        ({"confidence": 0.1, "trust": "right"}, "Looks right", ""),
    ],
)
def test_a_caption_says_how_far_it_can_be_trusted(
    page: Page, pictures: dict[str, Path], found: dict[str, Any], trust: str, meaning: str
) -> None:
    answer_all(page, {**ANSWER, "captions": [{**ANSWER["captions"][0], **found}]})
    page.set_viewport_size({"width": 320, "height": 640})
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    expect(page.locator(".result .trust:visible")).to_have_text(trust)
    expect(page.locator("[data-slot=meaning]")).to_have_text(meaning)
    expect(page.get_by_role("status")).to_have_text(f"Caption: {SENTENCE}. {trust}")
    expect(page.get_by_text("a good length")).to_have_count(1 if trust == "Looks right" else 0)
    expect_accessible(page)
    expect_no_sideways_scrolling(page)
    assert page.get_by_role("button", name="It is right").is_visible() is (trust == "Check")


def test_a_wild_guess_is_shown_only_when_it_is_asked_for(
    page: Page, pictures: dict[str, Path]
) -> None:
    answer_all(page, {**ANSWER, "image": {"width": 1, "height": 1, "format": "PNG"}})
    choose(page, pictures["coffee.jpg"])
    expect(page.locator(".result .trust:visible")).to_have_text("Can't tell")
    expect(page.get_by_role("button", name="Copy", exact=True)).to_be_hidden()
    expect(page.get_by_role("button", name="Edit")).to_be_visible()
    expect(page.get_by_text(SENTENCE)).to_be_hidden()
    assert SENTENCE not in page.title() + (page.get_by_role("status").text_content() or "")
    assert page.locator(".result img").get_attribute("alt") == ""
    expect_accessible(page)
    page.get_by_text("Show the guess").click()
    expect(page.locator(".caption")).to_have_text(SENTENCE)
    expect(page.locator(".result .trust:visible")).to_have_text("Can't tell")
    expect(page.get_by_role("button", name="Edit")).to_be_focused()


def test_no_trust_is_claimed_for_a_model_that_was_never_fitted(
    page: Page, pictures: dict[str, Path]
) -> None:
    answer_all(page, {**ANSWER, "calibrated": False})
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    expect(page.locator(".trust:visible")).to_have_count(0)
    expect(page.get_by_text("a good length")).to_have_count(0)
