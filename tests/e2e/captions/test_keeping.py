"""The session in the browser: it comes back after a reload, and earlier ones can be opened."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.accessibility import expect_accessible
from tests.e2e.captioning import SENTENCE, answer_all, choose, copies, expect_caption

# What is kept: how many records each store of the browser's database has.
KEPT = """async () => {
  const database = await new Promise(done => {
    const request = indexedDB.open("captionize", 1);
    request.onsuccess = () => done(request.result);
  });
  const counts = {};
  for (const name of ["sessions", "pictures", "files"]) {
    counts[name] = await new Promise(done => {
      const request = database.transaction(name).objectStore(name).count();
      request.onsuccess = () => done(request.result);
    });
  }
  database.close();
  return counts;
}"""


def expect_kept(page: Page, sessions: int, pictures: int, files: int) -> None:
    """The browser writes a moment later."""
    expected = {"sessions": sessions, "pictures": pictures, "files": files}
    for _ in range(100):
        if (kept := page.evaluate(KEPT)) == expected:
            return
        page.wait_for_timeout(50)
    assert kept == expected


def test_a_session_comes_back_and_can_be_started_over(
    page: Page, pictures: dict[str, Path], tmp_path: Path
) -> None:
    answer_all(page)
    choose(page, *copies(pictures["cat.png"], 3, tmp_path))
    expect(page.locator(".card[data-state=done]")).to_have_count(3)
    page.get_by_role("option", name="002.png").click()
    page.get_by_role("button", name="Edit").click()
    page.locator(".field").fill("my own words")
    page.keyboard.press("Enter")
    expect(page.locator(".card img[src^='data:image/jpeg']")).to_have_count(3)
    expect_kept(page, 1, 3, 3)

    # A reload brings everything back; what is waiting is captioned then.
    page.reload()
    expect(page.locator(".card[data-state=done]")).to_have_count(3)
    second = page.get_by_role("option", name="My own words Checked 002.png")
    expect(second.locator("img[src^='data:image/jpeg']")).to_be_visible()
    second.click()
    expect(page.get_by_text("Edited", exact=True)).to_be_visible()
    picture = page.locator(".result .picture img")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 451

    # Another tab has its own session; this one's is not taken from it.
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("main")).to_have_attribute("data-state", "empty")
    other.close()

    page.get_by_role("button", name="Start over").click()
    expect(page.locator("main")).to_have_attribute("data-state", "empty")
    expect(page.get_by_label("Choose pictures")).to_be_focused()
    expect_accessible(page)
    page.locator("#undo").get_by_role("button", name="Undo").click()
    expect(page.locator(".card[data-state=done]")).to_have_count(3)
    expect(second).to_be_visible()


def test_earlier_sessions_are_opened_copied_exported_and_forgotten(
    page: Page, pictures: dict[str, Path], tmp_path: Path
) -> None:
    answer_all(page)
    choose(page, *copies(pictures["cat.png"], 2, tmp_path))
    expect(page.locator(".card[data-state=done]")).to_have_count(2)
    expect(page.locator(".card img[src^='data:image/jpeg']")).to_have_count(2)
    page.get_by_role("button", name="Start over").click()
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    history = page.locator("#history")
    history.get_by_text("Earlier pictures (1 session)").click()
    expect(history).to_contain_text("Nothing is kept on the server")
    expect(history).to_contain_text(re.compile(r"[\d,.]+ kB of 500 MB"))
    entry = history.get_by_role("listitem")
    expect(entry).to_contain_text("2 pictures")
    expect(entry).to_contain_text("2 captioned")
    expect(entry.locator("img")).to_have_count(2)
    expect_accessible(page)
    entry.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status")).to_contain_text("copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"001.png\t{SENTENCE}\n002.png\t{SENTENCE}"
    with page.expect_download() as started:
        entry.get_by_role("button", name="CSV").click()
    assert SENTENCE in Path(started.value.path()).read_text(encoding="utf-8-sig")

    entry.get_by_role("button", name="Open").click()
    expect(page.locator(".card[data-state=done]")).to_have_count(2)
    expect(history.get_by_role("listitem")).to_contain_text(["coffee.jpg"])
    history.get_by_role("button", name="Forget").click()
    expect(history.get_by_role("listitem")).to_have_count(0)
    expect_kept(page, 1, 2, 2)
    history.get_by_role("button", name="Clear all of it").click()
    expect(page.locator("main")).to_have_attribute("data-state", "empty")
    expect(history).to_be_hidden()
    expect_kept(page, 0, 0, 0)


def test_leaving_with_edits_that_were_not_exported_warns(
    page: Page, pictures: dict[str, Path]
) -> None:
    answer_all(page)
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    assert asked == []
    page.get_by_role("button", name="Edit").click()
    page.locator(".field").fill("my own words")
    page.keyboard.press("Enter")
    page.reload()
    assert asked == ["beforeunload"]
    expect(page.locator(".caption")).to_have_text("My own words")


def test_pictures_that_wait_are_captioned_after_a_reload(
    page: Page, pictures: dict[str, Path], tmp_path: Path
) -> None:
    page.route("**/api/captions", lambda route: None)  # never answered
    choose(page, *copies(pictures["cat.png"], 3, tmp_path))
    expect_kept(page, 1, 3, 3)
    page.unroute("**/api/captions")
    answer_all(page)
    page.reload()
    expect(page.locator(".card[data-state=done]")).to_have_count(3)


def test_the_page_works_where_the_browser_keeps_nothing(
    page: Page, pictures: dict[str, Path]
) -> None:
    page.add_init_script("indexedDB.open = () => { throw new Error('no'); };")
    page.reload()
    answer_all(page)
    choose(page, pictures["coffee.jpg"])
    expect_caption(page)
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("main")).to_have_attribute("data-state", "empty")
