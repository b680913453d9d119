"""The review: doubtful captions are found and checked by keyboard alone, then exported."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.accessibility import expect_accessible
from tests.e2e.captioning import (
    ANSWER,
    ANSWER_MS,
    choose,
    copies,
    download,
    expect_no_sideways_scrolling,
)


def caption(text: str, trust: str, confidence: float) -> dict[str, Any]:
    return {
        "caption": text,
        "log_probability": -4.5,
        "confidence": confidence,
        "trust": trust,
        "words": [{"word": word, "probability": 0.5} for word in text.split()],
    }


def answer_by_name(page: Page, trusts: dict[str, str]) -> None:
    """The browser answers with this trust for the pictures of these names, and else "right"."""

    def answer(route: Route) -> None:
        body = route.request.post_data_buffer or b""
        [name] = [n for n in trusts if f'filename="{n}"'.encode() in body] or ["other"]
        trust = trusts.get(name, "right")
        number = int(name[:3]) if name != "other" else 0
        captions = [
            caption("a dog runs on the grass", trust, 0.6 - number / 100),
            caption("a dog leaps on the grass", trust, 0.5 - number / 100),
            caption("two dogs play with a ball", trust, 0.4 - number / 100),
        ]
        route.fulfill(json={**ANSWER, "caption": captions[0]["caption"], "captions": captions})

    page.route("**/api/captions", answer)


class Keyboard:
    """Presses keys and counts them; typed text counts apart, for it is the same on paper."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.presses = 0

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.presses += 1


def check_and_export(page: Page, picture: Path, folder: Path, count: int, doubtful: int) -> None:
    """Check `doubtful` of `count` pictures by keyboard alone, reload in between, and export."""
    trusts = {f"{number:03}.png": "check" for number in range(1, 2 * doubtful, 2)}
    trusts["001.png"] = "unknown"
    answer_by_name(page, trusts)
    choose(page, *copies(picture, count, folder))
    expect(page.locator(".card[data-state=done]")).to_have_count(count, timeout=ANSWER_MS)
    expect(page.get_by_role("status")).to_have_text(
        f"Finished. {count} captioned, {doubtful} to check."
    )
    keys = Keyboard(page)
    check = page.get_by_role("button", name=f"Check {doubtful}")
    check.focus()
    keys.press("Enter")
    tiles = page.locator(".tile")
    expect(tiles).to_have_count(doubtful)
    first = tiles.first.locator(".line")
    expect(first).to_be_focused()
    expect(first).to_have_text("No caption")
    expect(first).to_have_accessible_description("Can't tell. 001.png")
    expect_accessible(page)

    # A wild guess is written anew; the next ones are least sure first.
    keys.press("Enter")
    page.keyboard.type("a teal rectangle")
    keys.press("Enter")
    expect(tiles.nth(1).locator(".line")).to_be_focused()
    expect(tiles.first.locator(".line")).to_have_text("A teal rectangle")
    expect(page.locator("[data-slot=counts]")).to_contain_text(f"1 of {doubtful} checked")

    # Half of them, a reload, and the other half: kept, taken from the alternatives, decorative.
    keys.press("2")
    expect(tiles.nth(1).locator(".line")).to_have_text("A dog leaps on the grass")
    keys.press("d")
    page.wait_for_timeout(400)  # the browser writes a moment later
    page.reload()
    expect(page.locator(".card[data-state=done]")).to_have_count(count)
    left = doubtful - 3
    page.get_by_role("button", name=f"Check {left}").focus()
    keys.press("Enter")
    expect(tiles).to_have_count(left)
    for _ in range(left):
        keys.press("Enter", "Enter")
    finish = page.get_by_role("button", name="Save the table (CSV)")
    expect(finish).to_be_focused()
    expect(page.get_by_role("status")).to_have_text(f"All checked: {count} captions ready.")
    expect_accessible(page)
    with page.expect_download() as started:
        keys.press("Enter")
    assert keys.presses <= 100
    table = Path(started.value.path()).read_text(encoding="utf-8-sig")
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(table, newline=""))}
    assert len(rows) == count
    assert sum(row["checked"] == "true" for row in rows.values()) == doubtful
    assert rows["001.png"]["caption"] == "A teal rectangle"
    assert [row["decorative"] for row in rows.values()].count("true") == 1
    assert [row["original"] for row in rows.values()].count("A dog leaps on the grass") == 1


def test_doubtful_captions_are_checked_by_keyboard_and_exported(
    page: Page, pictures: dict[str, Path], tmp_path: Path
) -> None:
    check_and_export(page, pictures["cat.png"], tmp_path, count=8, doubtful=4)


@pytest.mark.slow
def test_twelve_doubtful_of_thirty_take_at_most_a_hundred_keys(
    page: Page, pictures: dict[str, Path], tmp_path: Path
) -> None:
    check_and_export(page, pictures["cat.png"], tmp_path, count=30, doubtful=12)


def test_keys_move_leave_remove_and_undo(
    page: Page, pictures: dict[str, Path], tmp_path: Path
) -> None:
    answer_by_name(page, {"001.png": "unknown", "002.png": "check"})
    choose(page, *copies(pictures["cat.png"], 6, tmp_path))
    expect(page.locator(".card[data-state=done]")).to_have_count(6)
    page.get_by_role("button", name="Grid").click()
    lines = page.locator(".tile .line")
    expect(lines).to_have_count(6)
    lines.first.focus()
    page.keyboard.press("j")
    expect(lines.nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")  # one row of four
    expect(lines.nth(5)).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.keyboard.type(" and more")
    page.keyboard.press("Escape")
    expect(lines.nth(4)).to_be_focused()
    expect(lines.nth(4)).to_have_text("A dog runs on the grass")
    page.keyboard.press("Home")
    expect(page.locator(".tile").first.locator(".choices button")).to_have_count(0)
    page.keyboard.press("g")
    expect(lines.first).to_have_text("A dog runs on the grass")
    expect(page.locator(".tile").first.locator(".choices mark")).to_have_text(
        ["leaps", "Two dogs play with", "ball"]
    )
    page.keyboard.press("Delete")
    expect(lines).to_have_count(5)
    expect(lines.first).to_be_focused()
    expect(page.locator("#undo")).to_contain_text("001.png is removed.")
    expect_accessible(page)
    page.keyboard.press("Control+z")
    expect(lines).to_have_count(6)
    expect(lines.first).to_be_focused()
    page.keyboard.press("Enter")
    page.set_viewport_size({"width": 320, "height": 640})
    expect_no_sideways_scrolling(page)
    page.get_by_role("button", name="Table").click()
    expect_no_sideways_scrolling(page)
    expect_accessible(page)


def test_words_are_replaced_in_all_that_are_listed(
    page: Page, pictures: dict[str, Path], tmp_path: Path
) -> None:
    answer_by_name(page, {"001.png": "check", "002.png": "check", "003.png": "unknown"})
    choose(page, *copies(pictures["cat.png"], 4, tmp_path))
    expect(page.locator(".card[data-state=done]")).to_have_count(4)
    page.get_by_role("button", name="Table").click()
    page.get_by_role("combobox", name="Show").select_option("To check")
    expect(page.locator(".tile")).to_have_count(3)
    page.get_by_text("Find and replace").click()
    page.get_by_label("Find").fill("A DOG")
    expect(page.locator("[data-slot=found]")).to_have_text("In 2 captions")
    page.get_by_label("Replace with").fill("$& a puppy")
    expect_accessible(page)
    page.get_by_label("Replace with").press("Enter")
    expect(page.locator(".tile .line")).to_have_text(
        ["$& a puppy runs on the grass", "$& a puppy runs on the grass", "No caption"]
    )
    texts = download(page, "Table (CSV)").decode("utf-8-sig")
    assert texts.count("a puppy") == 2
    page.locator("#undo").get_by_role("button", name="Undo").click()
    expect(page.locator(".tile .line").first).to_have_text("A dog runs on the grass")
