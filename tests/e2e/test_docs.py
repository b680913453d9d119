"""The API's page in a real browser, over the real service."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from basics.inscribing import alt_text
from tests.e2e.accessibility import expect_accessible
from tests.e2e.client import COFFEE
from tests.e2e.conftest import Service, console
from tests.shipped import VERSION
from webui.docs.specification import specification

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 320, "height": 640}
ANSWER_MS = 30_000


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    """The API's page, whose console stays silent."""
    context = browser.new_context(viewport=DESK, base_url=service.page_url)
    page = context.new_page()
    complaints = console(page)
    page.goto("/api/docs")
    expect(page.locator("main")).to_have_attribute("data-state", "shown")
    yield page
    context.close()
    assert complaints == []


def opened(page: Page, name: str) -> Locator:
    """The operation of this operationId, opened by keyboard."""
    operation = page.locator(f"#op-{name}")
    operation.locator("summary").first.focus()
    page.keyboard.press("Enter")
    expect(operation).to_have_attribute("open", "")
    return operation


def unfold(operation: Locator) -> None:
    """Open everything in it; what opens may hold more."""
    while (closed := operation.locator("details:not([open]) > summary:visible")).count():
        closed.first.click()


def test_every_operation_of_programs_is_there_and_found(page: Page) -> None:
    paths = specification()["paths"]
    methods = ("get", "put", "post", "delete")
    every = [one[m] for one in paths.values() for m in methods if m in one]
    count = sum(one["tags"] != ["Pages"] for one in every)
    expect(page.locator(".operation")).to_have_count(count)
    expect(page.locator("#index li")).to_have_count(count)
    expect_accessible(page)
    search = page.get_by_label("Find an operation")
    search.fill("PUT /workers")
    expect(page.locator(".operation:visible")).to_have_count(1)
    expect(page.locator("#index li:visible")).to_have_count(1)
    search.fill("nowhere")
    expect(page.get_by_text("No operation has these words.")).to_be_visible()
    search.fill("")
    page.locator("#index").get_by_role("link", name="Caption a picture", exact=True).click()
    expect(page.locator("#op-caption")).to_have_attribute("open", "")
    expect(page.locator("#op-caption").get_by_label("Administrator's token")).to_have_count(0)


def test_the_quick_start_is_for_this_service(page: Page, service: Service) -> None:
    samples = page.locator(".sample pre")
    expect(samples).to_have_count(3)
    for number in range(3):
        expect(samples.nth(number)).to_contain_text(f"{service.page_url}/api/captions")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_have_count(1)
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"curl -F image=@photo.jpg {service.page_url}/api/captions"
    expect(page.locator(".quick-answer")).to_contain_text('"caption": "a brown dog')


def test_pictures_get_their_captions(page: Page) -> None:
    operation = opened(page, "inscribe")
    picture = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": COFFEE}
    operation.get_by_label("image").set_input_files([picture, {**picture, "name": "b.jpg"}])
    operation.get_by_label("caption").fill("A cup\nThe same cup")
    expect(operation.locator(".curl")).to_contain_text("-F image=@b.jpg -F 'caption=A cup'")
    operation.get_by_role("button", name="Send POST").click()
    with page.expect_download() as saved:
        operation.get_by_role("link", name="Save the ZIP").click()
    with zipfile.ZipFile(saved.value.path()) as archive:
        texts = [alt_text(archive.read(name)) for name in archive.namelist()]
    assert texts == ["A cup", "The same cup"]


def test_a_picture_is_captioned_by_trying_it(page: Page) -> None:
    operation = opened(page, "caption")
    operation.get_by_label("image").set_input_files(
        {"name": "coffee cup.jpg", "mimeType": "image/jpeg", "buffer": COFFEE}
    )
    operation.get_by_label("beam_size").fill("2")
    operation.get_by_label("X-Request-ID").fill("from-the-docs")
    curl = operation.locator(".curl")
    expect(curl).to_contain_text("-F 'image=@coffee cup.jpg' -F beam_size=2")
    expect(curl).to_contain_text("-H 'X-Request-ID: from-the-docs'")
    expect(curl).to_contain_text(re.compile(r"http://127\.0\.0\.1:\d+/api/captions$"))
    operation.get_by_role("button", name="Send POST").click()
    expect(operation.locator(".outcome")).to_contain_text("200", timeout=ANSWER_MS)
    answer = json.loads(operation.get_by_role("group", name="Answer", exact=True).inner_text())
    assert answer["model"] == {"name": "captioner", "version": VERSION}
    operation.get_by_text("Headers", exact=True).click()
    headers = operation.get_by_role("group", name="Headers of the answer")
    expect(headers).to_contain_text("x-request-id: from-the-docs")
    expect_accessible(page)


def test_an_error_is_shown_as_it_came(page: Page) -> None:
    operation = opened(page, "caption")
    operation.get_by_label("image").set_input_files(
        {"name": "text.jpg", "mimeType": "image/jpeg", "buffer": b"This is a text."}
    )
    operation.get_by_role("button", name="Send POST").click()
    expect(operation.locator(".outcome")).to_contain_text("415", timeout=ANSWER_MS)
    expect(operation.locator(".came pre").first).to_contain_text('"type": "UnsupportedImage"')


def test_what_is_missing_is_asked_for_before_it_is_sent(page: Page) -> None:
    operation = opened(page, "caption")
    operation.get_by_role("button", name="Send POST").click()
    expect(operation.locator("input[type=file]:invalid")).to_have_count(1)
    expect(operation.locator(".outcome")).to_have_count(0)


def test_a_body_of_json_is_prepared_and_the_token_stays_a_variable(page: Page) -> None:
    opened(page, "register").get_by_label("Administrator's token").fill("a-secret-token")
    operation = opened(page, "change")
    operation.get_by_label("name", exact=True).fill("my model")
    operation.get_by_label("Body").fill('{"workers": 3}')
    curl = operation.locator(".curl")
    expect(curl).to_contain_text("curl -X PUT")
    expect(curl).to_contain_text("""-d '{"workers":3}'""")
    expect(curl).to_contain_text("/api/models/my%20model/1.1")
    expect(curl).to_contain_text('"Authorization: Bearer $CAPTIONIZE_ADMIN_TOKEN"')
    expect(curl).not_to_contain_text("a-secret-token")
    with page.expect_request("**/api/models/**") as sent:
        operation.get_by_role("button", name="Send PUT").click()
    assert sent.value.headers["authorization"] == "Bearer a-secret-token"
    assert sent.value.post_data_json == {"workers": 3}


def test_a_change_without_a_token_carries_the_sessions_csrf_token(page: Page) -> None:
    operation = opened(page, "unregister")
    with page.expect_request("**/api/models/**") as sent:
        operation.get_by_role("button", name="Send DELETE").click()
    assert len(sent.value.headers["x-csrftoken"]) > 20
    assert "authorization" not in sent.value.headers


def test_an_address_opens_its_operation(page: Page) -> None:
    page.goto("/api/docs#op-ready")
    expect(page.locator("#op-ready")).to_have_attribute("open", "")


UNFOLDED = [
    "explain",
    *(pytest.param(n, marks=pytest.mark.slow) for n in ("models", "operations", "register")),
]


@pytest.mark.parametrize("name", UNFOLDED)
def test_everything_unfolded_on_a_phone(page: Page, name: str) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    unfold(opened(page, name))
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    expect_accessible(page)


def test_a_specification_that_does_not_load_is_reported(page: Page) -> None:
    page.route("**/api/openapi.json", lambda route: route.fulfill(status=502, json={}))
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("could not be loaded")
    expect_accessible(page)
