"""Many pictures at once, what is exported of them, and what the browser remembers."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
import signal
import zipfile
from pathlib import Path

import pytest
import requests
from PIL import Image
from playwright.sync_api import Page, expect

from tests.e2e.accessibility import expect_accessible
from tests.e2e.captioning import (
    ANSWER,
    ANSWER_MS,
    Held,
    answer_all,
    choose,
    copies,
    download,
    expect_caption,
    expect_problem,
)
from tests.e2e.conftest import Service

AT_ONCE = 4
MANY = 200


@pytest.fixture(scope="session")
def dot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small picture, for tests in which the browser answers."""
    path = tmp_path_factory.mktemp("dot") / "dot.png"
    Image.new("RGB", (64, 48), "teal").save(path)
    return path


def test_thirty_pictures_are_captioned(
    page: Page, pictures: dict[str, Path], tmp_path: Path
) -> None:
    choose(page, *copies(pictures["cat.png"], 30, tmp_path))
    done = page.locator(".card[data-state=done]")
    expect(done).to_have_count(30, timeout=4 * ANSWER_MS)
    expect(page.get_by_role("status")).to_have_text(
        re.compile(r"^Finished\. 30 captioned(, 30 to check)?\.$")
    )
    expect(page.locator(".session")).to_contain_text("30 pictures")
    expect(page.locator(".card img[src^='data:image/jpeg']")).to_have_count(30)
    assert expect_caption(page)
    expect_accessible(page)


def test_a_few_are_sent_at_a_time(page: Page, dot: Path, tmp_path: Path) -> None:
    held = Held(page)
    choose(page, *copies(dot, 10, tmp_path))
    expect(page.locator(".card[data-state=sending]")).to_have_count(AT_ONCE)
    for done in range(1, 11):
        held.release()
        expect(page.locator(".card[data-state=done]")).to_have_count(done)
        waiting = 10 - done
        expect(page.locator(".card[data-state=sending]")).to_have_count(min(AT_ONCE, waiting))
        assert held.pending <= AT_ONCE
    expect(page.locator("progress")).to_be_hidden()


def test_a_folder_is_chosen_with_its_folders(page: Page, dot: Path, tmp_path: Path) -> None:
    copies(dot, 2, tmp_path / "trip" / "day one")
    copies(dot, 1, tmp_path / "trip")
    (tmp_path / "trip" / "notes.txt").write_text("no picture")
    answer_all(page)
    page.locator("#folder").set_input_files(tmp_path / "trip")
    expect(page.locator(".card[data-state=done]")).to_have_count(3)
    names = sorted(page.locator(".card .name").all_inner_texts())
    assert names == ["trip/001.png", "trip/day one/001.png", "trip/day one/002.png"]


def test_a_dropped_folder_is_gone_through(page: Page, dot: Path, tmp_path: Path) -> None:
    copies(dot, 120, tmp_path / "trip" / "day one")  # more than a folder gives at a time
    copies(dot, 1, tmp_path / "trip")
    answer_all(page)
    browser = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(tmp_path / "trip")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    expect(page.locator(".card[data-state=done]")).to_have_count(121, timeout=ANSWER_MS)
    expect(page.get_by_role("option", name="trip/day one/120.png")).to_have_count(1)


def test_the_export_menu_closes(page: Page, dot: Path) -> None:
    answer_all(page)
    choose(page, dot)
    page.get_by_text("Export").click()
    entry = page.get_by_role("button", name="JSON Lines")
    expect(entry).to_be_visible()
    expect_accessible(page)
    page.set_viewport_size({"width": 320, "height": 640})
    expect(page.locator(".session .menu > div")).to_be_in_viewport(ratio=1)
    page.keyboard.press("Escape")
    expect(entry).to_be_hidden()
    expect(page.locator(".session .menu summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(entry).to_be_visible()
    page.locator(".session h2").click()
    expect(entry).to_be_hidden()


def test_a_folder_without_pictures_is_reported(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    page.locator("#folder").set_input_files(tmp_path)
    expect_problem(page, "That did not work", "There is no picture in this folder")
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_one_bad_picture_is_the_others_no_harm(
    page: Page, pictures: dict[str, Path], dot: Path, tmp_path: Path
) -> None:
    choose(page, dot, pictures["text.jpg"], pictures["empty.jpg"])
    expect(page.locator(".card[data-state=done]")).to_have_count(1, timeout=ANSWER_MS)
    expect(page.locator(".card[data-state=failed]")).to_have_count(2, timeout=ANSWER_MS)
    expect(page.get_by_role("status")).to_have_text(
        "Finished. 1 captioned, 1 to check, 2 not captioned."
    )
    expect(page.get_by_role("button", name="Try the others again")).to_be_hidden()
    page.get_by_role("option", name="text.jpg").click()
    expect_problem(page, "This is not a picture we can read", "text.jpg")
    expect_accessible(page)
    page.get_by_role("button", name="Remove").click()
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(".card[aria-selected=true]")).to_contain_text("empty.jpg")


def test_no_picture_is_lost_while_the_service_is_away(
    page: Page, dot: Path, tmp_path: Path
) -> None:
    page.route(
        "**/api/captions",
        lambda route: route.fulfill(
            status=502,
            json={"type": "CaptioningAway", "message": "Away."},
            headers={"Retry-After": "3600"},
        ),
    )
    choose(page, *copies(dot, 12, tmp_path))
    expect(page.locator(".hold")).to_contain_text("The captioning service is away. 12 pictures")
    expect_accessible(page)
    page.unroute("**/api/captions")
    answer_all(page)
    page.get_by_role("button", name="Try now").click()
    expect(page.locator(".card[data-state=done]")).to_have_count(12)


def test_pictures_outlive_a_worker_that_is_killed(
    page: Page, service: Service, pictures: dict[str, Path], tmp_path: Path
) -> None:
    choose(page, *copies(pictures["cat.png"], 24, tmp_path))
    expect(page.locator(".card[data-state=done]").first).to_be_attached(timeout=ANSWER_MS)
    headers = {"Authorization": f"Bearer {service.management_token()}"}
    url = f"{service.management_url}/models/captioner"
    [model] = requests.get(url, headers=headers, timeout=30).json()
    os.kill(model["workers"][0]["pid"], signal.SIGKILL)
    expect(page.locator(".card[data-state=done]")).to_have_count(24, timeout=4 * ANSWER_MS)
    expect(page.get_by_role("status")).to_contain_text("Finished. 24 captioned")


def test_all_can_be_cancelled_and_tried_again(page: Page, dot: Path, tmp_path: Path) -> None:
    Held(page)
    choose(page, *copies(dot, 6, tmp_path))
    page.get_by_role("button", name="Cancel all").click()
    expect(page.locator(".card[data-state=cancelled]")).to_have_count(6)
    page.unroute("**/api/captions")
    answer_all(page)
    page.get_by_role("button", name="Try the others again").click()
    expect(page.locator(".card[data-state=done]")).to_have_count(6)
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("main")).to_have_attribute("data-state", "empty")


def test_two_hundred_pictures_keep_their_cards(page: Page, dot: Path, tmp_path: Path) -> None:
    answer_all(page)
    choose(page, *copies(dot, MANY, tmp_path))
    page.evaluate("document.querySelector('.card').kept = true")
    expect(page.locator(".card[data-state=done]")).to_have_count(MANY, timeout=2 * ANSWER_MS)
    assert page.evaluate("document.querySelector('.card').kept"), "a card is made once"
    page.get_by_role("option", name="001.png").focus()
    page.keyboard.press("End")
    last = page.get_by_role("option", name=f"{MANY}.png")
    expect(last).to_be_focused()
    expect(last).to_have_attribute("aria-selected", "true")
    expect(last).to_be_in_viewport()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Delete")
    expect(page.locator(".card")).to_have_count(MANY - 1)


def test_the_session_is_exported(page: Page, dot: Path, tmp_path: Path) -> None:
    caption = {**ANSWER["captions"][0], "caption": 'a "dog", running', "trust": "check"}
    tags = [{"word": "dog", "probability": 0.93}, {"word": "ball", "probability": 0.2}]
    tricky = {**ANSWER, "captions": [caption], "tags": tags}
    answer_all(page, tricky)
    names = ["=sum.png", "a,b.png", "ünï 日本.png", "same.png", "same.jpg"]
    for name in names:
        (tmp_path / name).write_bytes(dot.read_bytes())
    choose(page, *(tmp_path / name for name in names))
    expect(page.locator(".card[data-state=done]")).to_have_count(len(names))
    page.get_by_role("button", name="Edit").click()
    page.locator(".field").fill("my own words")
    page.get_by_role("button", name="Done").click()

    table = download(page, "Table (CSV)")
    assert table.startswith(codecs.BOM_UTF8), "or spreadsheets take it for something else"
    rows = list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline="")))
    assert [row["file"] for row in rows] == ["'=sum.png", *names[1:]], "no formula is left"
    assert rows[0]["caption"] == "My own words"
    assert (rows[0]["edited"], rows[1]["edited"]) == ("true", "false")
    assert (rows[0]["checked"], rows[1]["checked"]) == ("true", "false")
    assert rows[1]["caption"] == rows[0]["original"] == 'A "dog", running'
    assert (rows[1]["confidence"], rows[1]["version"]) == ("0.6", "1.1")
    assert (rows[1]["trust"], rows[1]["tags"]) == ("check", "dog; ball")
    assert rows[0]["confidence"] == rows[0]["trust"] == "", "a person wrote it"

    whole = json.loads(download(page, "JSON"))
    assert [one["file"] for one in whole] == names
    assert (whole[0]["captions"], whole[0]["tags"]) == ([caption], tags)
    lines = download(page, "JSON Lines").decode().splitlines()
    assert [json.loads(line) for line in lines] == whole

    with zipfile.ZipFile(io.BytesIO(download(page, "A text file for each (ZIP)"))) as archive:
        assert archive.testzip() is None
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    expected = ["=sum.txt", "a,b.txt", "ünï 日本.txt", "same.txt", "same-2.txt", "captions.csv"]
    assert list(texts) == expected
    assert texts["captions.csv"].encode() == table
    assert texts["=sum.txt"] == "My own words\n"


def test_an_example_is_captioned(page: Page) -> None:
    page.get_by_role("button", name="A smiling astronaut").click()
    expect_caption(page)
    expect(page.locator(".session")).to_contain_text("astronaut.jpg")
    expect(page.locator(".examples")).to_be_hidden()


def test_the_empty_page_is_accessible(page: Page) -> None:
    expect(page.locator(".examples img").first).to_be_visible()
    expect_accessible(page)
    for image in page.locator(".examples img").all():
        image.scroll_into_view_if_needed()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
