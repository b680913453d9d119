"""What was set stays set, over the real TorchServe: after a crash of all of it, or of it alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.administration.conftest import archive, caption
from tests.e2e.conftest import ROOT, Service, wait_for
from tests.e2e.service.test_starting import java_of, processes_of
from tests.webui.administration import BEARER, TOKEN, Admin
from webui import create_app

WAIT_S = 60


@pytest.fixture
def own(tmp_path: Path) -> Service:
    """A service that is not started, with archives of two versions that start fast."""
    archive(tmp_path / "store" / "captioner.mar", "1.0")
    second = archive(tmp_path / "store" / "second.mar", "2.0")
    with zipfile.ZipFile(second, "a") as older:
        older.writestr("handler/caption_handler.py", "")
    environ = {"CAPTIONIZE_MODEL_STORE": str(tmp_path / "store"), "CAPTIONIZE_ADMIN_TOKEN": TOKEN}
    return Service(tmp_path / "run", environ)


def served(models: Any) -> list[tuple[str, int, bool]]:
    """Version, workers that are ready and whether it is the default, of an answer's one model."""
    [model] = models["models"]
    return [
        (v["version"], sum(w["state"] == "READY" for w in v["workers"]), v["default"])
        for v in model["versions"]
    ]


@pytest.mark.slow  # its short form is the next one, and tests/webui/versions/test_restoring.py
def test_a_crash_of_everything_brings_back_what_ran(own: Service) -> None:
    def ask(method: str, path: str, body: object = None) -> Any:
        url = f"{own.page_url}/api{path}"
        answer = requests.request(method, url, json=body, headers=BEARER, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def became(version: int, workers: int) -> Callable[[], bool]:
        return lambda: served(ask("GET", "/models"))[version][1:2] == (workers,)

    own.start()
    ask("POST", "/models", {"archive": "second.mar"})
    wait_for(lambda: len(served(ask("GET", "/models"))) == 2 and became(1, 1)(), WAIT_S)
    wait_for(lambda: ask("GET", "/jobs")["jobs"][0]["state"] == "done", WAIT_S)
    ask("PUT", "/models/captioner/2.0/default")
    ask("PUT", "/models/captioner/1.0/workers", {"workers": 2})
    wait_for(lambda: ask("GET", "/jobs")["jobs"][0]["state"] == "done", WAIT_S)
    ask("PUT", "/canary", {"version": "1.0", "share": 1e-9})
    before = served(ask("GET", "/models"))
    assert before == [("1.0", 2, False), ("2.0", 1, True)]

    for pid in processes_of(own):
        os.kill(pid, signal.SIGKILL)
    own.process.wait()
    wait_for(lambda: processes_of(own) == [], WAIT_S)
    own.start()
    try:
        wait_for(lambda: served(ask("GET", "/models")) == before, WAIT_S)
        assert caption(own).json()["model"]["version"] == "2.0"
        assert ask("GET", "/canary")["version"] == "1.0"
        assert ask("GET", "/models")["lost"] == []
    finally:
        assert own.stop() == 0


def test_a_restart_of_torchserve_alone_is_noticed(own: Service, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "webui.serve", "--without-page"]

    output = own.run_dir.with_suffix(".out")
    app = create_app(
        {
            "ADMIN_TOKEN": TOKEN,
            "INFERENCE_URL": own.inference_url,
            "MANAGEMENT_URL": own.management_url,
            "KEY_FILE": own.run_dir / "key_file.json",
            "MODEL_STORE": tmp_path / "store",
            "STATE_DIR": str(tmp_path / "state"),
        }
    )
    admin = Admin(app.test_client())

    def restored() -> bool:
        """What the page's thread does every second; whether all is as it was."""
        answer = admin("GET", "/models")
        if answer.status_code == 200:
            app.extensions["restoring"].check()
        return answer.status_code == 200 and served(admin("GET", "/models").get_json()) == before

    with output.open("wb") as out:
        launcher = subprocess.Popen(command, cwd=ROOT, env=own.environ, stdout=out, stderr=out)
    try:
        before = [("1.0", 1, True)]
        wait_for(restored, WAIT_S)
        admin("POST", "/models", {"archive": "second.mar"})
        wait_for(lambda: admin("GET", "/jobs").get_json()["jobs"][0]["state"] == "done", WAIT_S)
        admin("PUT", "/models/captioner/2.0/default")
        admin("DELETE", "/models/captioner/1.0")
        before = [("2.0", 1, True)]
        assert served(admin("GET", "/models").get_json()) == before
        os.kill(java := java_of(own), signal.SIGKILL)
        wait_for(lambda: restored() and java not in processes_of(own), WAIT_S)
        assert [one["message"] for one in admin.audit()[:3]] == [
            "captioner 1.0 is unregistered again.",
            "captioner 2.0 is the default again.",
            "captioner 2.0 is registered again with 1 worker.",
        ]
        assert [one["behind"] for one in admin.model()["versions"]] == [True]
        behind = "Made by an older Captionize, without what was mended since: second.mar."
        assert behind in output.read_text()
    finally:
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(30) == 0
