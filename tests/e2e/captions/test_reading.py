"""What can be done with a caption: looking at its words, editing, copying, choosing another."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.e2e.accessibility import expect_accessible
from tests.e2e.captioning import (
    ANSWER_MS,
    SENTENCE,
    answer_all,
    choose,
    expect_caption,
    expect_no_sideways_scrolling,
)
from tests.e2e.conftest import Service

# The warmest and the coldest red of the heat map, and its proportions.
HEAT = """canvas => {
  const {width, height} = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  let warm = 0, cold = 255;
  for (let at = 0; at < pixels.length; at += 4) {
    warm = Math.max(warm, pixels[at]);
    cold = Math.min(cold, pixels[at]);
  }
  return {warm, cold, ratio: width / height};
}"""


def test_a_word_shows_where_it_looked(page: Page, pictures: dict[str, Path]) -> None:
    explanations: list[str] = []
    page.on(
        "request",
        lambda request: explanations.append(request.url) if "explanations" in request.url else None,
    )
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    assert explanations == [], "asked for only when somebody wants to know"
    word = page.locator(".caption .word").first
    word.hover()
    canvas = page.locator(".picture canvas")
    expect(canvas).to_be_visible(timeout=ANSWER_MS)
    expect(page.locator(".looked")).to_contain_text(f"“{word.text_content()}”", ignore_case=True)
    heat = canvas.evaluate(HEAT)
    assert heat["warm"] > heat["cold"] + 50
    assert heat["ratio"] == pytest.approx(600 / 400, abs=0.05), "it lies on the picture"
    boxes = [page.locator(f".picture {name}").bounding_box() for name in ("img", "canvas")]
    assert boxes[0] == boxes[1]
    page.mouse.move(1, 1)
    expect(canvas).to_be_hidden()
    page.get_by_text("Details", exact=True).click()
    page.get_by_role("list", name="Words").get_by_role("button").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(canvas).to_be_visible()
    expect(page.locator(".words [aria-pressed=true]")).to_have_count(1)
    expect_accessible(page)
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(canvas).to_be_hidden()
    assert len(explanations) == 1


def test_a_word_is_tapped_on_a_phone(page: Page, pictures: dict[str, Path]) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    choose(page, pictures["cat.png"])
    expect_caption(page)
    word = page.locator(".caption .word").last
    word.click()
    page.mouse.move(1, 1)
    expect(page.locator(".picture canvas")).to_be_visible(timeout=ANSWER_MS)
    expect_no_sideways_scrolling(page)
    word.click()
    page.mouse.move(1, 1)
    expect(page.locator(".picture canvas")).to_be_hidden()


def test_an_explanation_that_fails_is_reported_and_asked_for_again(
    page: Page, pictures: dict[str, Path]
) -> None:
    page.route(
        "**/api/explanations", lambda route: route.fulfill(status=503, json={"message": "Busy."})
    )
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    words = page.locator(".caption .word")
    words.first.hover()
    expect(page.locator(".looked")).to_contain_text("cannot be shown now. Busy.")
    page.unroute("**/api/explanations")
    words.nth(1).hover()
    expect(page.locator(".picture canvas")).to_be_visible(timeout=ANSWER_MS)


def test_a_caption_is_edited_undone_and_brought_back(page: Page, pictures: dict[str, Path]) -> None:
    answer_all(page)
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    caption, edited = page.locator(".caption"), page.get_by_text("Edited", exact=True)
    expect(edited).to_be_hidden()
    for text in ("A dog leaps through the grass", "two dogs"):
        page.get_by_role("button", name="Edit").click()
        expect(page.locator(".field")).to_be_focused()
        page.locator(".field").fill(text)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Edit")).to_be_focused()
    expect(caption).to_have_text("Two dogs")
    expect(edited).to_be_visible()
    expect(page).to_have_title("Two dogs · Captionize")
    expect_accessible(page)
    page.get_by_role("button", name="Undo").click()
    expect(caption).to_have_text("A dog leaps through the grass")
    # What was not touched still knows where it looked; how sure the model was says nothing now.
    expect(page.locator(".words")).to_be_hidden()
    expect(page.locator(".caption .word[title]")).to_have_count(0)
    assert page.locator(".caption .word").all_text_contents() == [
        "A",
        "dog",
        "through",
        "the",
        "grass",
    ]
    page.get_by_role("button", name="Back to the original").click()
    expect(caption).to_have_text(SENTENCE)
    expect(edited).to_be_hidden()
    page.get_by_role("button", name="Undo").click()
    expect(caption).to_have_text("A dog leaps through the grass")
    page.get_by_role("button", name="Edit").click()
    page.locator(".field").fill("not kept")
    expect_accessible(page)
    page.keyboard.press("Escape")
    expect(caption).to_have_text("A dog leaps through the grass")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("a dog runs", "10 characters, a good length for alt text."),
        ("dogs", "Very short."),
        ("", "Empty."),
        ("A picture of a dog", "Leave out “A picture of”"),
        ("photo of two dogs", "Leave out “photo of”"),
        ("the photographer of the year", "28 characters, a good length"),
        ("dog " * 40, "159 characters. Up to about 125"),
    ],
)
def test_an_edited_caption_gets_advice(
    page: Page, pictures: dict[str, Path], text: str, advice: str
) -> None:
    answer_all(page)
    choose(page, pictures["coffee.jpg"])
    page.get_by_role("button", name="Edit").click()
    page.locator(".field").fill(text)
    expect(page.locator(".advice")).to_contain_text(advice)


def test_an_alternative_becomes_the_caption(page: Page, pictures: dict[str, Path]) -> None:
    choose(page, pictures["coffee.jpg"])
    first = expect_caption(page)
    rows = page.locator(".alternatives li")
    expect(rows).to_have_count(2)
    second = rows.first.locator("p").text_content()
    assert second
    use = rows.first.get_by_role("button", name="Use this")
    new = rows.first.locator("mark").all_text_contents()
    expect(use).to_have_accessible_name("Use this: " + ", ".join(word.strip() for word in new))
    use.click()
    expect(page.locator(".caption")).to_have_text(second)
    expect(page.get_by_role("status")).to_contain_text(second)
    expect(rows.first.locator("p")).to_have_text(first)
    expect(page.get_by_text("Edited", exact=True)).to_be_hidden()
    expect(page.locator(".result .trust:visible")).to_have_text("Checked")
    page.locator(".caption .word").last.hover()
    expect(page.locator(".picture canvas")).to_be_visible(timeout=ANSWER_MS)


def test_the_caption_is_copied_as_text_html_and_markdown(
    page: Page, pictures: dict[str, Path], tmp_path: Path
) -> None:
    answer_all(page)
    picture = tmp_path / 'a "b" [c].jpg'
    picture.write_bytes(pictures["coffee.jpg"].read_bytes())
    choose(page, picture)
    expect_caption(page)
    page.get_by_role("button", name="Edit").click()
    page.locator(".field").fill('A <dog> & a "cat" [sic]')
    page.keyboard.press("Enter")
    expected = {
        "Copy": 'A <dog> & a "cat" [sic]',
        "Copy as HTML": '<img src="a%20%22b%22%20%5Bc%5D.jpg" '
        'alt="A &lt;dog&gt; &amp; a &quot;cat&quot; [sic]">',
        "Copy as Markdown": '![A <dog> & a "cat" \\[sic\\]](a%20%22b%22%20%5Bc%5D.jpg)',
    }
    for name, text in expected.items():
        if name != "Copy" and not page.get_by_role("button", name=name).is_visible():
            page.get_by_text("Copy as…").click()
            expect_accessible(page)
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("copied")
        expect(page.get_by_text("Copied", exact=True)).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == text
        expect(page.get_by_text("Copied", exact=True)).to_be_hidden()


def test_copying_works_without_the_clipboard_of_secure_pages(
    page: Page, pictures: dict[str, Path]
) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.reload()
    answer_all(page)
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_focused()
    page.get_by_role("button", name="Edit").click()
    page.locator(".field").fill("")
    page.keyboard.press("Control+V")
    expect(page.locator(".field")).to_have_value(SENTENCE)


def test_snippets_hold_for_the_picture_and_its_options(
    page: Page, service: Service, pictures: dict[str, Path], tmp_path: Path
) -> None:
    name = 'it\'s; a "dog".jpg'
    picture = tmp_path / name
    picture.write_bytes(pictures["coffee.jpg"].read_bytes())
    page.get_by_text("Options").click()
    page.get_by_label("Longest caption").fill("3")
    choose(page, picture)
    caption = expect_caption(page)
    page.get_by_text("The same from a program").click()
    code = page.locator("pre")
    words = shlex.split(code.inner_text().replace("\\\n", ""))
    assert words[:5] == ["curl", "-F", f'image=@"{name}"'.replace('"dog"', '\\"dog\\"'), "-F"] + [
        "max_length=3"
    ]
    assert words[-1] == f"{service.page_url}/api/captions"
    with picture.open("rb") as file:
        answer = requests.post(words[-1], files={"image": file}, data={"max_length": 3}, timeout=60)
    assert answer.json()["caption"].capitalize() == caption
    page.get_by_role("button", name="Python").click()
    assert name in [
        node.value
        for node in ast.walk(ast.parse(code.inner_text()))
        if isinstance(node, ast.Constant)
    ]
    expect(code).to_contain_text('data={"max_length": 3}')
    page.get_by_role("button", name="JavaScript").click()
    expect(code).to_contain_text(re.compile(r'form\.append\("max_length", 3\)'))
    page.get_by_role("button", name="Copy the program").click()
    assert page.evaluate("navigator.clipboard.readText()") == code.inner_text()
    expect_accessible(page)
    page.set_viewport_size({"width": 320, "height": 640})
    expect_no_sideways_scrolling(page)
