"""The versions over the real TorchServe: the client, the command line, and the page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.accessibility import expect_accessible
from tests.e2e.conftest import ROOT, Service, console, log_in
from tests.webui import management_contract as contract
from tests.webui.administration import HASH, PASSWORD, TOKEN
from tests.webui.fake_management import write_archive
from tests.webui.fake_torchserve import ANSWER
from webui.torchserve.client import TorchServe
from webui.torchserve.management import Management
from webui.web.settings import Settings

DESK = {"width": 1280, "height": 900}
PHONE = {"width": 320, "height": 640}
JOB_MS = 60_000
CARD = json.dumps(
    {
        "description": "Says the same of every picture.",
        "encoder": "drawn",
        "decoder": "none",
        "date": "2026-01-01",
        "scores": {"cider": 0.5, "bleu_4": 0.25},
    }
)
# A worker of this starts faster than a captioner, and shows what it sees of the environment.
HANDLER = """
import json, os
ANSWER = json.loads({answer!r})
ANSWER["model"]["version"] = {version!r}
ANSWER["caption"] = " ".join(sorted(name for name in os.environ if name.startswith("CAPTIONIZE_")))
def handle(data, context): return data and [json.dumps(ANSWER)] * len(data)
"""
BROKEN = "raise OSError('no weights')\n"


def archive(path: Path, version: str) -> Path:
    code = HANDLER.format(answer=json.dumps(ANSWER), version=version)
    return write_archive(path, version=version, code=code, model_card__json=CARD)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with the served version, a second one, and one that cannot start."""
    folder = tmp_path_factory.mktemp("store")
    archive(folder / "captioner.mar", "1.0")
    archive(folder / "second.mar", "2.0")
    write_archive(folder / "broken.mar", version="4.0", code=BROKEN)
    return folder


@pytest.fixture(scope="module")
def managed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own, with an administrator."""
    environ = {
        "CAPTIONIZE_MODEL_STORE": str(store),
        "CAPTIONIZE_ADMIN_PASSWORD_HASH": HASH,
        "CAPTIONIZE_ADMIN_TOKEN": TOKEN,
        "CAPTIONIZE_SECRET_KEY": "a secret of the page",
    }
    running = Service(tmp_path_factory.mktemp("managed") / "run", environ).start()
    yield running
    running.stop()


@pytest.fixture
def management(managed: Service) -> Management:
    settings = Settings(
        inference_url=managed.inference_url,
        management_url=managed.management_url,
        key_file=managed.run_dir / "key_file.json",
    )
    return Management(TorchServe(settings))


@pytest.fixture
def page(browser: Browser, managed: Service) -> Iterator[Page]:
    """The versions page of the logged-in administrator, whose console stays silent."""
    context = browser.new_context(viewport=DESK, base_url=managed.page_url)  # type: ignore[arg-type]
    page = context.new_page()
    complaints = console(page)
    log_in(page)
    yield page
    context.close()
    assert complaints == []


def caption(service: Service) -> requests.Response:
    files = {"image": ("p.jpg", b"anything")}
    return requests.post(f"{service.page_url}/api/captions", files=files, timeout=60)


# --- The client and the launcher ---


def test_the_life_of_a_version(management: Management, store: Path) -> None:
    contract.check_life_of_a_version(management, store, "1.0")


def test_a_model_of_its_own(management: Management, store: Path) -> None:
    contract.check_a_model_of_its_own(management, store)


def test_what_is_not_there(management: Management) -> None:
    contract.check_what_is_not_there(management)


def test_an_archive_s_code_does_not_see_the_page_s_secrets(managed: Service) -> None:
    seen = caption(managed).json()["caption"].split()
    assert "CAPTIONIZE_RUN_DIR" in seen
    assert not [name for name in seen if "SECRET" in name or "ADMIN" in name]


def test_a_worker_s_memory_is_known(management: Management) -> None:
    [worker] = management.version("captioner", "1.0").workers
    assert worker.memory_bytes
    assert worker.memory_bytes > 50 * 2**20


# --- The command line ---


def test_the_command_line(managed: Service, store: Path, tmp_path: Path) -> None:
    environ = {**os.environ, "CAPTIONIZE_ADMIN_TOKEN": TOKEN}

    def admin(*arguments: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "webui.admin", "--url", managed.page_url, *arguments]
        ended = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == status, ended.stdout + ended.stderr
        return (ended.stderr if status else ended.stdout).strip()

    third = archive(tmp_path / "third.mar", "3.0")
    assert admin("upload", str(third)) == "third.mar (captioner 3.0) is in the model store."
    assert "never overwritten" in admin("upload", str(third), status=1)
    assert "third.mar" in admin("archives")
    assert admin("register", "third.mar") == "captioner 3.0 is registered with 1 worker."
    assert "registered already" in admin("register", "third.mar", status=1)
    assert admin("scale", "captioner", "3.0", "2") == "captioner 3.0 has 2 workers."
    rows = [line.split() for line in admin("models").splitlines()]
    assert rows[1:] == [
        ["captioner", "1.0", "yes", "1", "1", "0", "captioner.mar"],
        ["captioner", "3.0", "-", "2", "2", "0", "third.mar"],
    ]
    assert admin("canary", "3.0", "--share", "1").splitlines()[2].split()[:2] == ["3.0", "100%"]
    assert caption(managed).json()["model"]["version"] == "3.0"
    admin("canary", "--off")
    assert caption(managed).json()["model"]["version"] == "1.0"
    assert admin("default", "captioner", "3.0") == "captioner 3.0 is the default."
    assert caption(managed).json()["model"]["version"] == "3.0"
    assert "Make another version the default" in admin("unregister", "captioner", "3.0", status=1)
    assert admin("rollback", "captioner") == "captioner 1.0 is the default again."
    assert admin("unregister", "captioner", "3.0") == "captioner 3.0 is unregistered."
    assert (store / "third.mar").exists()
    assert "crash while starting: OSError: no weights" in admin("register", "broken.mar", status=1)
    assert len(admin("models").splitlines()) == 2
    entries = [json.loads(line) for line in admin("audit", "--last", "2").splitlines()]
    assert [(one["action"], one["outcome"]) for one in entries] == [
        ("unregister", "done"),
        ("register", "failed"),
    ]
    log = managed.run_dir / "logs" / "audit.jsonl"
    assert json.loads(log.read_text().splitlines()[-1]) == entries[-1]
    (store / "third.mar").unlink()


# --- The page ---


def card(page: Page, version: str) -> Locator:
    """The card of a version of the captioner."""
    heading = page.get_by_role("heading", name=version, exact=True)
    return page.get_by_role("article").filter(has=heading)


def outcome(page: Page, text: str) -> None:
    """Wait until this is shown as done or failed, and said to screen readers."""
    shown = page.locator(".outcome:not(.running)").filter(has_text=text)
    expect(shown.first).to_be_visible(timeout=JOB_MS)
    expect(page.locator("#announce")).to_contain_text(text)


def expect_no_sideways_scrolling(page: Page) -> None:
    for size in (PHONE, DESK):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_the_login(browser: Browser, managed: Service) -> None:
    context = browser.new_context(viewport=PHONE, base_url=managed.page_url)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/versions")
    expect(page.get_by_label("Password")).to_be_focused()
    expect_accessible(page)
    page.keyboard.type("a guess")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not the administrator's password")
    expect_accessible(page)
    expect_no_sideways_scrolling(page)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_have_attribute("data-state", "shown")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    context.close()


def test_a_version_comes_and_goes(page: Page, managed: Service) -> None:
    first = card(page, "1.0")
    expect(first.locator(".state")).to_have_text("Ready")
    expect(first).to_contain_text("Default")
    expect(first.get_by_role("button", name="Unregister")).to_be_disabled()
    expect(first.locator(".workers li")).to_contain_text("ready")
    first.get_by_text("About this model").click()
    expect(first).to_contain_text("Says the same of every picture.")
    expect(first).to_contain_text("0.500")
    expect_accessible(page)
    expect_no_sideways_scrolling(page)

    page.get_by_role("button", name="Register second.mar").click()
    expect(page.get_by_role("spinbutton", name="Workers")).to_be_focused()
    expect_accessible(page)
    page.get_by_label("Batch size").fill("4")
    page.get_by_role("dialog").get_by_role("button", name="Register").click()
    outcome(page, "captioner 2.0 is registered with 1 worker.")
    second = card(page, "2.0")
    expect(second.locator(".state")).to_have_text("Ready")
    expect(second).to_contain_text("4, within")

    second.get_by_role("button", name="Workers").click()
    page.get_by_role("spinbutton", name="Workers").fill("2")
    page.keyboard.press("Enter")
    outcome(page, "captioner 2.0 has 2 workers.")
    expect(second.locator(".workers li")).to_have_count(2)

    page.locator("#canary-share").fill("100")
    page.get_by_role("button", name="Turn on").click()
    outcome(page, "100% of the captions go to 2.0.")
    expect(second).to_contain_text("Canary, 100%")
    assert caption(managed).json()["model"]["version"] == "2.0"
    expect(page.locator("#compared tr").nth(1).locator("td").first).not_to_have_text("0")
    expect_accessible(page)
    expect_no_sideways_scrolling(page)
    page.get_by_role("button", name="Turn off").click()
    outcome(page, "The canary is off.")

    second.get_by_role("button", name="Make default").click()
    page.get_by_role("dialog").get_by_role("button", name="Make default").click()
    outcome(page, "captioner 2.0 is the default.")
    expect(second).to_contain_text("Default")
    assert caption(managed).json()["model"]["version"] == "2.0"

    page.get_by_role("button", name="Roll back to 1.0").click()
    outcome(page, "Rolled back: captioner 1.0 is the default again.")
    assert caption(managed).json()["model"]["version"] == "1.0"

    second.get_by_role("button", name="Unregister").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The archive second.mar stays in the model store")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(second.get_by_role("button", name="Unregister")).to_be_focused()
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Unregister").click()
    outcome(page, "captioner 2.0 is unregistered.")
    expect(second).to_have_count(0)
    expect(page.locator("main")).to_be_focused()
    history = page.locator("#audit li").first
    expect(history).to_contain_text("captioner 2.0 is unregistered.")
    expect(history).to_contain_text("The administrator at 127.0.0.1")


def test_what_cannot_start_is_undone(page: Page) -> None:
    page.get_by_role("button", name="Register broken.mar").click()
    page.get_by_role("dialog").get_by_role("button", name="Register").click()
    expect(page.locator(".outcome.running")).to_contain_text("Registering captioner 4.0")
    outcome(page, "crash while starting: OSError: no weights.")
    expect(page.get_by_role("article")).to_have_count(1)
    expect_accessible(page)
    expect_no_sideways_scrolling(page)


def test_an_archive_is_uploaded(page: Page, store: Path, tmp_path: Path) -> None:
    new = archive(tmp_path / "new.mar", "5.0")
    try:
        page.get_by_label("Upload an archive").set_input_files(new)
        outcome(page, "new.mar (captioner 5.0) is in the model store")
        expect(page.get_by_role("button", name="Register new.mar")).to_be_visible()
        assert (store / "new.mar").read_bytes() == new.read_bytes()
        text = tmp_path / "text.mar"
        text.write_text("This is no archive.")
        page.get_by_label("Upload an archive").set_input_files(text)
        outcome(page, "Expected a model archive")
    finally:
        (store / "new.mar").unlink(missing_ok=True)


def test_the_page_says_when_the_service_is_away_and_recovers(page: Page) -> None:
    away = {"code": 502, "type": "CaptioningAway", "message": "The service cannot be reached."}
    page.route("**/api/models", lambda route: route.fulfill(status=502, json=away))
    expect(page.locator("#away")).to_contain_text("The service cannot be reached.")
    expect(card(page, "1.0")).to_be_visible()
    expect_accessible(page)
    page.unroute("**/api/models")
    expect(page.locator("#away")).to_be_hidden()
    page.route("**/api/**", lambda route: route.abort())
    expect(page.locator("#away")).to_contain_text("The page's server cannot be reached.")
    page.unroute("**/api/**")
    expect(page.locator("#away")).to_be_hidden()


def test_a_session_that_has_ended_leads_to_the_login(page: Page) -> None:
    page.context.clear_cookies()
    expect(page.get_by_label("Password")).to_be_visible()


def test_without_an_administrator_the_page_says_how(browser: Browser, service: Service) -> None:
    context = browser.new_context(viewport=PHONE, base_url=service.page_url)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/versions")
    expect(page.get_by_role("heading", name="The administrator is off")).to_be_visible()
    expect_accessible(page)
    expect_no_sideways_scrolling(page)
    context.close()
