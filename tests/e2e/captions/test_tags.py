"""Tags on the page: what a picture shows, and the list of the pictures that show the same."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.e2e.accessibility import expect_accessible
from tests.e2e.captioning import (
    ANSWER,
    answer_all,
    choose,
    copies,
    expect_caption,
    expect_no_sideways_scrolling,
)

TAGS = {  # of the pictures, by their names
    "001.png": ["cat", "laptop"],
    "002.png": ["dog"],
    "003.png": ["cat"],
    "004.png": ["dog"],
}


def tagged(*words: str) -> list[dict[str, object]]:
    return [{"word": word, "probability": 0.83} for word in words]


def answer_with_tags(route: Route) -> None:
    body = route.request.post_data_buffer or b""
    [words] = [words for name, words in TAGS.items() if f'filename="{name}"'.encode() in body]
    route.fulfill(json={**ANSWER, "tags": tagged(*words)})


def expect_listed(page: Page, *names: str) -> None:
    expect(page.locator(".card:visible .name")).to_have_text(names)


def test_a_tag_lists_the_pictures_that_have_it(
    page: Page, pictures: dict[str, Path], tmp_path: Path
) -> None:
    page.route("**/api/captions", answer_with_tags)
    files = copies(pictures["cat.png"], 4, tmp_path)
    choose(page, *files)
    expect(page.locator(".card[data-state=done]")).to_have_count(4)
    cat = page.get_by_role("list", name="Tags").get_by_role("button", name="cat")
    expect(cat).to_have_accessible_description("83% sure. Lists only pictures with it.")
    cat.focus()
    page.keyboard.press("Enter")
    expect(cat).to_have_attribute("aria-pressed", "true")
    expect(cat).to_be_focused()
    expect(page.get_by_role("status")).to_have_text("Tagged “cat”: 2 of 4 pictures.")
    expect_listed(page, "001.png", "003.png")
    expect_accessible(page)
    page.set_viewport_size({"width": 320, "height": 640})
    expect(page.locator(".filter")).to_be_visible()
    expect_no_sideways_scrolling(page)

    # The keys go through what is listed, and a picture with the tag shows it pressed.
    page.get_by_role("option", name="001.png").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", name="003.png")).to_be_focused()
    expect(cat).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Delete")
    expect(page.get_by_role("option", name="001.png")).to_be_focused()
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_role("option", name="001.png")).to_be_focused()
    expect(page.get_by_role("status")).to_have_text("All pictures are listed: 3 pictures.")
    expect(page.locator(".filter")).to_be_hidden()
    expect_listed(page, "001.png", "002.png", "004.png")

    # Once the last picture with the tag is removed, or others come, all are listed again.
    page.get_by_role("button", name="laptop").click()
    expect_listed(page, "001.png")
    page.get_by_role("option", name="001.png").press("Delete")
    expect(page.get_by_role("option", name="002.png")).to_be_focused()
    choose(page, files[0], files[2])
    expect(page.locator(".card[data-state=done]")).to_have_count(4)
    cat.click()
    expect_listed(page, "001.png", "003.png")
    cat.click()
    expect_listed(page, "002.png", "004.png", "001.png", "003.png")
    cat.click()
    choose(page, files[0])
    expect(page.locator(".filter")).to_be_hidden()
    expect(page.locator(".card:visible")).to_have_count(5)


def test_the_tags_of_a_single_picture_are_words(page: Page, pictures: dict[str, Path]) -> None:
    answer_all(page, {**ANSWER, "tags": tagged("cat", "laptop")})
    choose(page, pictures["cat.png"])
    expect_caption(page)
    tags = page.get_by_role("list", name="Tags").get_by_role("button")
    expect(tags).to_have_text(["cat", "laptop"])
    expect(tags.first).to_be_disabled()
    expect(page.locator(".result .trust:visible")).to_have_text("Looks right")
    expect_accessible(page)
