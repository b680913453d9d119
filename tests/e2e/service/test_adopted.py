"""A published model, from its folder to the running service: adopted, registered, captioning."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.e2e.captioning import ANSWER_MS, choose
from tests.e2e.conftest import Service
from tests.e2e.service.test_second_version import run
from tests.shipped import VERSION
from tests.training.adoption import published
from tests.webui.administration import TOKEN

TIMEOUT_S = 120


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of transformers, about itself
def test_a_model_is_adopted_and_served_beside_ours(
    service: Service, store: Path, tmp_path: Path, pictures: dict[str, Path], page: Page
) -> None:
    folder, mar = tmp_path / "tiny-blip", store / "blip.mar"
    published.make("blip", folder)
    label = ["--name", "captioner", "--version", "blip", "--licence", "none", "--threads", 1]
    said = run("captionize", "adopt", "--from", folder, "--archive", mar, *label)
    assert "transformers finds the same 54 sentences." in said

    def admin(*words: str) -> str:
        url = ["--url", service.page_url]
        return run("webui.admin", *url, *words, CAPTIONIZE_ADMIN_TOKEN=TOKEN)

    assert "captioner blip is registered" in admin("register", mar.name)
    photo = pictures["coffee.jpg"].read_bytes()

    def ask(path: str, **fields: object) -> dict[str, object]:
        response = requests.post(
            f"{service.page_url}/api/{path}",
            data=fields,
            files={"image": ("coffee.jpg", photo)},
            timeout=TIMEOUT_S,
        )
        assert response.status_code == 200, response.text
        answer: dict[str, object] = response.json()
        return answer

    answer = ask("captions", version="blip", num_captions=3)
    assert answer["model"] == {"name": "captioner", "version": "blip"}
    assert answer["calibrated"] is False
    listed = requests.get(f"{service.page_url}/v1/models", timeout=TIMEOUT_S).json()["data"]
    owners = {one["id"]: one["owned_by"] for one in listed}
    assert owners == {**dict.fromkeys(owners, "captionize"), "captioner:blip": folder.name}
    captions = answer["captions"]
    assert isinstance(captions, list)
    assert len(captions) == 3
    for caption in captions:
        assert caption["caption"] == " ".join(word["word"] for word in caption["words"])
    described = requests.get(
        f"{service.management_url}/models/captioner/blip?customized=true",
        headers={"Authorization": f"Bearer {service.management_token()}"},
        timeout=TIMEOUT_S,
    ).json()
    card = described[0]["customizedMetadata"]
    assert card["licence"] == "none"
    assert card["adopted"]["agreement"]["sentences"] == 54

    explained = ask("explanations", version="blip")
    # The first sentence of drawn weights may be empty.
    word = next(word for caption in explained["captions"] for word in caption["words"])  # type: ignore[attr-defined]
    assert (word["attention"]["rows"], word["attention"]["columns"]) == (4, 4)
    # Without a version, ours answers.
    assert ask("captions")["model"] == {"name": "captioner", "version": VERSION}

    compare(page, pictures["coffee.jpg"])
    show(page, pictures["coffee.jpg"], admin)

    album = tmp_path / "album"
    album.mkdir()
    for name in ("coffee.jpg", "cat.png"):
        shutil.copy(pictures[name], album)
    texts = run("captionize", album, "--model", mar, "--threads", 1, "--format", "jsonl")
    found = [json.loads(line) for line in texts.splitlines() if line.startswith("{")]
    assert [Path(one["image"]).name for one in found] == ["cat.png", "coffee.jpg"]
    assert all("trust" not in one["captions"][0] for one in found)
    admin("unregister", "captioner", "blip")
    mar.unlink()


def compare(page: Page, photo: Path) -> None:
    """Ours and the other side by side, with a vote; only ours says how sure it is."""
    page.goto("/compare")
    expect(page.get_by_label("Right", exact=True)).to_have_value("blip")
    choose(page, photo)
    pair = page.locator(".pair[data-state=done]")
    expect(pair).to_have_count(1, timeout=ANSWER_MS)
    pair.get_by_role("button", name="Left is better").click()
    expect(page.locator(".tally")).to_contain_text(f"version {VERSION}: 1, version blip: 0")
    expect(pair.locator("[data-slot=left-facts]")).to_contain_text("confident")
    expect(pair.locator("[data-slot=right-facts]")).to_be_empty()


def show(page: Page, photo: Path, admin: Callable[..., str]) -> None:
    """As the default it captions in the page, which marks nothing and tells no confidence."""
    admin("default", "captioner", "blip")
    page.goto("/")
    choose(page, photo)
    expect(page.locator("main")).to_have_attribute("data-state", "result", timeout=ANSWER_MS)
    expect(page.locator(".result .trust:visible")).to_have_count(0)
    page.get_by_text("Details", exact=True).click()
    expect(page.locator("[data-slot=model]:visible")).to_have_text("captioner blip")
    expect(page.get_by_text("confident")).to_be_hidden()
    admin("default", "captioner", VERSION)
