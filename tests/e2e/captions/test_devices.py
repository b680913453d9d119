"""The page on a phone, by keyboard, in both colour schemes, without scripts, before any script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import skimage.data
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.e2e.accessibility import expect_accessible
from tests.e2e.captioning import (
    ANSWER,
    ANSWER_MS,
    answer_all,
    choose,
    expect_caption,
    expect_no_sideways_scrolling,
    expect_problem,
)
from tests.e2e.conftest import Service

PHONE = {"width": 320, "height": 640}
RETRY_AFTER = {"Retry-After": "3600"}

# The largest share of one of two colours' luminances over the other's: WCAG's contrast.
CONTRAST = """element => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const channels = colour => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  let box = element, ground;
  do ground = channels(getComputedStyle(box).backgroundColor);
  while (ground[3] < 255 && (box = box.parentElement));
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const [a, b] = [light(channels(getComputedStyle(element).color)), light(ground)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def test_the_keyboard_alone_is_enough(page: Page, pictures: dict[str, Path]) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    field = page.get_by_label("Choose pictures")
    expect(field).to_be_focused()
    outline = page.locator("label[for=image]").evaluate("e => getComputedStyle(e).outlineStyle")
    assert outline == "solid", "the focus is to be seen on the label that stands for the field"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(pictures["coffee.jpg"])
    expect_caption(page)
    for name in ("Choose a folder", "Options", "Export", "Start over"):
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_accessible_name(re.compile(name))
    copy = page.get_by_role("button", name="Copy", exact=True)
    for _ in range(3):
        page.keyboard.press("Tab")
        if copy.evaluate("element => element === document.activeElement"):
            break
    expect(copy).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    for name in ("Copy as…", "Edit"):
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_accessible_name(name)
    details = page.locator(".result summary", has_text="Details")
    for _ in range(10):
        page.keyboard.press("Tab")
        if details.evaluate("element => element === document.activeElement"):
            break
    expect(details).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    words = page.get_by_role("list", name="Words").get_by_role("button")
    expect(words.first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(words.nth(1)).to_be_focused()


def test_a_phone_shows_all_of_it_without_sideways_scrolling(
    page: Page, pictures: dict[str, Path]
) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    expect_no_sideways_scrolling(page)
    page.get_by_text("Options").click()
    expect_no_sideways_scrolling(page)
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    page.get_by_text("Details", exact=True).click()
    expect_no_sideways_scrolling(page)
    picture, reading = (page.locator(s).bounding_box() for s in (".picture img", ".reading"))
    assert picture is not None
    assert reading is not None
    assert reading["y"] >= picture["y"] + picture["height"], "the caption is under its picture"
    choose(page, pictures["text.jpg"])
    expect_problem(page, "This is not a picture we can read", "JPEG")
    expect_no_sideways_scrolling(page)
    choose(page, pictures["coffee.jpg"], pictures["cat.png"])
    expect(page.locator(".card[data-state=done]")).to_have_count(2, timeout=ANSWER_MS)
    expect_no_sideways_scrolling(page)
    expect_accessible(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_colour_schemes(
    page: Page, pictures: dict[str, Path], scheme: str
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.get_by_text("Options").click()
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    page.get_by_text("Details", exact=True).click()
    texts = page.locator("body :is(p, h2, b, small, li span, label, summary, .facts span):visible")
    assert texts.count() > 15
    low = [t.inner_text() for t in texts.all() if t.evaluate(CONTRAST) < 4.5]
    assert low == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 150) is (scheme == "dark")


def test_the_form_works_without_javascript(
    browser: Browser, service: Service, pictures: dict[str, Path]
) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=service.page_url)
    page = context.new_page()
    page.goto("/")
    page.locator("#image").set_input_files(pictures["coffee.jpg"])
    page.get_by_role("button", name="Caption it").click()
    expect(page.locator("main")).to_have_attribute("data-state", "result", timeout=ANSWER_MS)
    assert page.locator(".caption").inner_text().strip()
    expect(page.locator(".result .picture img")).to_have_attribute(
        "src", re.compile("^data:image/jpeg;base64,")
    )
    expect(page.locator(".alternatives li")).to_have_count(2)
    page.locator("#image").set_input_files(pictures["text.jpg"])
    page.get_by_role("button", name="Caption it").click()
    expect(page.get_by_role("alert")).to_contain_text("This is not a picture we can read")
    context.close()


def test_a_caption_is_the_same_with_and_without_javascript(
    browser: Browser, service: Service, page: Page, pictures: dict[str, Path]
) -> None:
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    plain = browser.new_context(java_script_enabled=False, base_url=service.page_url).new_page()
    plain.goto("/")
    plain.locator("#image").set_input_files(pictures["coffee.jpg"])
    plain.get_by_role("button", name="Caption it").click()
    for part in (".caption", ".words", ".alternatives"):
        squeezed = [re.sub(r"\s+", " ", p.locator(part).inner_html()) for p in (page, plain)]
        texts = [re.sub(r"<[^>]*>|\s", "", html) for html in squeezed]
        assert texts[0] == texts[1]
    plain.context.close()


def test_a_photo_is_taken_and_its_caption_mended_on_a_phone(
    browser: Browser, service: Service, tmp_path: Path
) -> None:
    portrait = tmp_path / "portrait.jpg"
    Image.fromarray(skimage.data.chelsea()).resize((600, 1200)).save(portrait)
    window = {"width": 390, "height": 780}
    page = browser.new_page(
        base_url=service.page_url,
        viewport=window,  # type: ignore[arg-type]
        has_touch=True,
        is_mobile=True,
    )
    answer_all(page, {**ANSWER, "captions": [{**ANSWER["captions"][0], "trust": "check"}]})
    page.goto("/")
    expect(page.get_by_text("Drop")).to_be_hidden()
    boxes = [page.get_by_text(name).bounding_box() for name in ("Choose pictures", "Take a photo")]
    assert all(box and box["height"] >= 48 and box["width"] > 250 for box in boxes)
    tops = {round(link.bounding_box()["y"]) for link in page.locator(".pages > a").all()}  # type: ignore[index]
    assert len(tops) == 1, "the navigation is one row"
    expect_accessible(page)
    expect(page.locator("#camera")).to_have_attribute("capture", "environment")
    page.locator("#camera").set_input_files(portrait)
    caption = page.locator(".caption:visible")
    expect(caption).to_be_in_viewport(ratio=1)
    picture = page.locator(".result .picture img").bounding_box()
    assert picture
    assert picture["height"] <= window["height"] / 2
    edit = page.get_by_role("button", name="Edit")
    expect(edit).to_be_in_viewport(ratio=1)
    edit.tap()
    page.locator(".field").fill("my own words")
    page.get_by_role("button", name="Done").tap()
    expect(caption).to_have_text("My own words")
    expect(page.locator(".result .trust:visible").first).to_have_text("Checked")
    expect_accessible(page)
    expect_no_sideways_scrolling(page)
    page.close()


def test_nothing_is_asked_of_any_other_server(
    page: Page, service: Service, pictures: dict[str, Path]
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    assert len(asked) > 5
    own = (service.page_url, "blob:", "data:image/")
    assert [url for url in asked if not url.startswith(own)] == []


def test_the_page_is_painted_before_any_script(browser: Browser, service: Service) -> None:
    page = browser.new_page(base_url=service.page_url)
    page.route("**/*.js", lambda route: None)  # never answered
    page.goto("/", wait_until="commit")
    expect(page.get_by_role("heading", name="A picture in, a sentence out.")).to_be_visible()
    painted = """() => new Promise(seen => new PerformanceObserver(list => {
        if (list.getEntriesByName("first-contentful-paint").length) seen(true);
    }).observe({type: "paint", buffered: true}))"""
    assert page.evaluate(painted)
    page.close()
