"""The page that compares two versions, over the real service with one and with two of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.e2e.accessibility import expect_accessible
from tests.e2e.captioning import ANSWER_MS, choose, expect_no_sideways_scrolling, repack
from tests.e2e.conftest import ROOT, Service
from tests.shipped import VERSION

TIMEOUT_S = 120


def manage(service: Service, method: str, path: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {service.management_token()}"}
    return requests.request(
        method, service.management_url + path, headers=headers, timeout=TIMEOUT_S
    )


@pytest.fixture
def second(service: Service) -> Iterator[str]:
    """A second version beside the first, registered while the service runs."""
    store = ROOT / service.environ.get("CAPTIONIZE_MODEL_STORE", "model_store")
    stored = store / "compared.mar"
    repack(store / "captioner.mar", stored, "9.1")
    query = f"url={stored.name}&model_name=captioner&initial_workers=1&synchronous=true"
    try:
        response = manage(service, "POST", f"/models?{query}")
        assert response.status_code == 200, response.text
        yield "9.1"
    finally:
        manage(service, "DELETE", "/models/captioner/9.1")
        stored.unlink(missing_ok=True)


def test_one_version_alone_is_named(page: Page) -> None:
    page.goto("/compare")
    expect(
        page.get_by_role("heading", name=f"There is only one version: {VERSION}.")
    ).to_be_visible()
    expect(page.locator("#upload")).to_be_hidden()
    expect_accessible(page)
    page.set_viewport_size({"width": 320, "height": 640})
    expect_no_sideways_scrolling(page)


def test_versions_that_cannot_be_loaded_are_reported(page: Page) -> None:
    away = {"code": 502, "type": "CaptioningAway", "message": "Away."}
    page.route("**/api/versions", lambda route: route.fulfill(status=502, json=away))
    page.goto("/compare")
    expect(page.get_by_role("alert")).to_contain_text("Away.")
    expect_accessible(page)
    page.unroute("**/api/versions")
    page.get_by_role("button", name="Try again").click()
    expect(
        page.get_by_role("heading", name=f"There is only one version: {VERSION}.")
    ).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


# The two versions are the same model: the second one's captions get a word more. In the page, for
# a request that Playwright passes on loses its file.
A_WORD_MORE = """
const plain = window.fetch;
window.fetch = async (address, options) => {
  const [answer, body] = [await plain(address, options), options?.body];
  if (!(body instanceof FormData) || body.get("version") !== "SECOND") return answer;
  if (body.get("image").name === "same.png") return answer;
  const found = await answer.json();
  found.captions[0].caption += " today";
  return new Response(JSON.stringify(found), answer);
};
"""


def answer_apart(page: Page, second: str) -> None:
    page.add_init_script(A_WORD_MORE.replace("SECOND", second))


def test_two_versions_are_compared(
    page: Page, second: str, pictures: dict[str, Path], tmp_path: Path
) -> None:
    answer_apart(page, second)
    same = tmp_path / "same.png"
    same.write_bytes(pictures["cat.png"].read_bytes())
    asked: list[dict[str, str]] = []
    page.route(
        "**/api/votes",
        lambda route: (asked.append(route.request.post_data_json), route.fulfill(status=204)),
    )
    page.goto("/compare")
    if page.get_by_role("button", name="Check again").is_visible():
        page.get_by_role("button", name="Check again").click()
    expect(page.get_by_label("Left", exact=True)).to_have_value(VERSION)
    expect(page.get_by_label("Right", exact=True)).to_have_value(second)
    choose(page, pictures["coffee.jpg"], pictures["cat.png"], pictures["text.jpg"], same)
    expect(page.locator(".pair[data-state=done]")).to_have_count(3, timeout=ANSWER_MS)
    expect(page.locator(".pair").nth(3)).to_contain_text("Both say the same")
    expect(page.get_by_role("group", name="Your vote on same.png")).to_be_hidden()
    refused = page.locator(".pair[data-state=failed]")
    expect(refused).to_contain_text("not a picture we can read", timeout=ANSWER_MS)
    first, other = page.locator(".pair").nth(0), page.locator(".pair").nth(1)
    expect(first).to_contain_text(f"Left: version {VERSION}")
    expect(first).to_contain_text(f"Right: version {second}")
    captions = first.locator(".caption").all_text_contents()
    assert captions[1] == f"{captions[0]} today"
    expect(first.locator("mark")).to_have_text("today")
    first.get_by_role("button", name="Right is better").click()
    other.get_by_role("button", name="A tie").click()
    first.get_by_role("button", name="Left is better").click()
    expect(page.locator(".tally")).to_contain_text(f"version {VERSION}: 1, version 9.1: 0, ties: 1")
    expect(page.get_by_role("status")).to_contain_text(
        f"Vote recorded. Votes for version {VERSION}: 1"
    )
    assert asked == [
        {"left": VERSION, "right": "9.1", "winner": "right"},
        {"left": VERSION, "right": "9.1", "winner": "tie"},
    ], "the first vote on each picture is counted"
    expect_accessible(page)

    with page.expect_download() as started:
        page.get_by_role("button", name="Votes as CSV").click()
    votes = Path(started.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(votes, newline="")))
    assert [(row["file"], row["winner"], row["better"]) for row in rows] == [
        ("coffee.jpg", "left", VERSION),
        ("cat.png", "tie", ""),
    ]
    with page.expect_download() as started:
        page.get_by_role("button", name="Votes as JSON").click()
    votes = json.loads(Path(started.value.path()).read_text())
    assert votes[0]["left_caption"] == captions[0]
    page.set_viewport_size({"width": 320, "height": 640})
    expect_no_sideways_scrolling(page)
    page.get_by_role("button", name="Start over").click()
    expect(page.locator(".pair")).to_have_count(0)


def test_a_blind_comparison_hides_the_versions_until_the_vote(
    page: Page, second: str, pictures: dict[str, Path]
) -> None:
    answer_apart(page, second)
    page.goto("/compare")
    page.get_by_role("checkbox", name="Hide which is which").check()
    choose(page, pictures["coffee.jpg"])
    pair = page.locator(".pair[data-state=done]")
    expect(pair).to_be_visible(timeout=ANSWER_MS)
    expect(pair).not_to_contain_text("version")
    expect(pair).not_to_contain_text("confident")
    pair.get_by_role("button", name="A tie").click()
    expect(pair).to_contain_text(f"version {VERSION}")
    expect(pair).to_contain_text(f"version {second}")


def test_the_same_version_twice_is_refused(
    page: Page, second: str, pictures: dict[str, Path]
) -> None:
    page.goto("/compare")
    page.get_by_label("Right", exact=True).select_option(VERSION)
    choose(page, pictures["coffee.jpg"])
    expect(page.get_by_label("Right", exact=True)).to_be_focused()
    expect(page.locator(".pair")).to_have_count(0)
