"""From one's own pictures to the default version of the running service, by the real commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import ROOT, Service
from tests.shipped import VERSION
from tests.training.drawn import DEV, SHOWN, TAUGHT, Drawing, write_kaggle
from tests.training.taught import taught
from tests.webui.administration import TOKEN

TIMEOUT_S = 120


def run(module: str, *words: object, **environ: str) -> str:
    """Run a command as a person does; returns what it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def caption(service: Service, version: str, drawing: Drawing, folder: Path) -> dict[str, Any]:
    """What TorchServe answers about a drawing; ``version`` may be empty, for the default."""
    response = requests.post(
        f"{service.inference_url}/predictions/captioner{version}",
        drawing.save(folder).read_bytes(),
        headers={"Authorization": f"Bearer {service.inference_token()}"},
        timeout=TIMEOUT_S,
    )
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.slow
def test_a_model_retrained_on_own_pictures_becomes_the_default(
    service: Service, store: Path, tmp_path: Path
) -> None:
    def admin(*words: str) -> str:
        url = ["--url", service.page_url]
        return run("webui.admin", *url, *words, CAPTIONIZE_ADMIN_TOKEN=TOKEN)

    # One short epoch, from a model that knows such drawings already.
    data = write_kaggle(tmp_path / "data", train=TAUGHT[:16], dev=DEV[:4])
    mar = store / "captioner-7.0.mar"
    places = {"--output": tmp_path / "own", "--cache": tmp_path / "cache", "--data": data}
    short = ["--epochs", 1, "--views", 1, "--threads", 1, "--device", "cpu"]
    label = ["--archive", mar, "--name", "captioner", "--version", "7.0"]
    start = ["--init", taught() / "drawings.mar"]
    run("training.train", *start, *(x for pair in places.items() for x in pair), *label, *short)

    assert "captioner 7.0 is registered" in admin("register", mar.name)
    for drawing in SHOWN[::4]:
        answer = caption(service, "/7.0", drawing, tmp_path)
        assert answer["caption"] == drawing.caption
        assert answer["model"] == {"name": "captioner", "version": "7.0"}
        assert [word["word"] for word in answer["captions"][0]["words"]] == drawing.caption.split()
    # What is asked for without a version is still the first one's to answer.
    assert caption(service, "", SHOWN[0], tmp_path)["model"]["version"] == VERSION

    assert "captioner 7.0 is the default" in admin("default", "captioner", "7.0")
    assert caption(service, "", SHOWN[0], tmp_path)["model"]["version"] == "7.0"
    assert "is the default again" in admin("rollback", "captioner")
    assert caption(service, "", SHOWN[0], tmp_path)["model"]["version"] == VERSION
    admin("unregister", "captioner", "7.0")
    mar.unlink()
