"""A published model, from its folder to the running service: adopted, registered, captioning."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests.e2e.conftest import Service
from tests.e2e.service.test_second_version import run
from tests.shipped import ARCHIVE, VERSION
from tests.training.adoption import published
from tests.webui.administration import TOKEN

TIMEOUT_S = 120


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of transformers, about itself
def test_a_model_is_adopted_and_served_beside_ours(
    service: Service, store: Path, tmp_path: Path, pictures: dict[str, Path]
) -> None:
    folder, mar = tmp_path / "tiny-blip", store / "blip.mar"
    published.make("blip", folder)
    label = ["--name", "captioner", "--version", "blip", "--licence", "none", "--threads", 1]
    said = run("training.adopt", "--from", folder, "--archive", mar, *label)
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
    assert card["engine"] == "torchscript"
    assert card["adopted"]["agreement"]["sentences"] == 54

    explained = ask("explanations", version="blip")
    # The first sentence of drawn weights may be empty.
    word = next(word for caption in explained["captions"] for word in caption["words"])  # type: ignore[attr-defined]
    assert (word["attention"]["rows"], word["attention"]["columns"]) == (4, 4)
    # Without a version, ours answers.
    assert ask("captions")["model"] == {"name": "captioner", "version": VERSION}

    texts = run("training.caption", pictures["coffee.jpg"], "--model", mar, "--threads", 1)
    assert texts.splitlines()[0]
    other = run("training.caption", pictures["coffee.jpg"], "--model", ARCHIVE, "--threads", 1)
    assert texts != other
    admin("unregister", "captioner", "blip")
    mar.unlink()
