"""From drawn pictures to a second version in the running service, by the real commands."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import ROOT, Service
from tests.shipped import VERSION
from tests.training.drawn import DEV, LEARNING, SHOWN, TAUGHT, write_kaggle
from training import archive, export, train

TIMEOUT_S = 120
SECOND = "/models/captioner/2.0"


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive, made from nothing, of a captioner that knows coloured shapes."""
    folder = tmp_path_factory.mktemp("second")
    data = write_kaggle(folder / "data", train=TAUGHT, dev=DEV)
    run, mar = folder / "run", folder / "drawings.mar"
    places = {"--data": data, "--output": run, "--cache": folder / "cache"}
    words = [str(word) for pair in places.items() for word in pair]
    assert train.main([*words, *LEARNING]) == 0
    assert export.main(["--checkpoint", str(run / "best.pt")]) == 0
    assert archive.main(["--run", str(run), "--output", str(mar), "--version", "2.0"]) == 0
    return mar


def manage(service: Service, method: str, path: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {service.management_token()}"}
    url = service.management_url + path
    return requests.request(method, url, headers=headers, timeout=TIMEOUT_S)


def predict(service: Service, path: str, picture: Path) -> requests.Response:
    headers = {"Authorization": f"Bearer {service.inference_token()}"}
    url = f"{service.inference_url}/predictions/{path}"
    return requests.post(url, picture.read_bytes(), headers=headers, timeout=TIMEOUT_S)


@pytest.fixture
def registered(service: Service, taught: Path) -> Iterator[dict[str, Any]]:
    """The second version beside the first; what TorchServe answered to its registration."""
    store = Path(service.environ.get("CAPTIONIZE_MODEL_STORE", "model_store"))
    stored = ROOT / store / "second-version.mar"
    shutil.copy(taught, stored)
    query = f"url={stored.name}&model_name=captioner&initial_workers=1&synchronous=true"
    try:
        response = manage(service, "POST", f"/models?{query}")
        assert response.status_code == 200, response.text
        yield response.json()
    finally:
        manage(service, "DELETE", SECOND)
        stored.unlink(missing_ok=True)


def test_a_second_version_says_what_it_was_taught(
    service: Service, registered: dict[str, Any], tmp_path: Path
) -> None:
    assert '"captioner" Version: 2.0 registered with 1 initial workers' in registered["status"]
    for drawing in SHOWN[::4]:
        response = predict(service, "captioner/2.0", drawing.save(tmp_path))
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["caption"] == drawing.caption
        assert answer["model"] == {"name": "captioner", "version": "2.0"}
        assert [word["word"] for word in answer["captions"][0]["words"]] == drawing.caption.split()

    # What is asked without a version is still the first one's to answer.
    (default,) = manage(service, "GET", "/models/captioner").json()
    assert default["modelVersion"] == VERSION
    answer = predict(service, "captioner", SHOWN[0].save(tmp_path)).json()
    assert answer["model"] == {"name": "captioner", "version": VERSION}

    assert manage(service, "DELETE", SECOND).status_code == 200
    assert predict(service, "captioner/2.0", SHOWN[0].save(tmp_path)).status_code == 404
    assert predict(service, "captioner", SHOWN[0].save(tmp_path)).status_code == 200
