"""Starting and stopping: what is left, what is said, and what a crash does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests

from tests.e2e.client import COFFEE, TIMEOUT_S, Client
from tests.e2e.conftest import ROOT, Service, wait_for


def processes_of(service: Service) -> list[int]:
    """Every process that has the service's own run folder in its environment."""
    mark = f"CAPTIONIZE_RUN_DIR={service.run_dir}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has ended meanwhile, or is another user's
            continue
    return found


def with_model(folder: Path, code: str) -> Service:
    """A service of its own, whose model is this one handler: it starts faster than a captioner."""
    manifest = {
        "runtime": "python",
        "model": {"modelName": "captioner", "handler": "simple.py", "modelVersion": "1.0"},
        "archiverVersion": "0.12.0",
    }
    (folder / "store").mkdir()
    with zipfile.ZipFile(folder / "store" / "captioner.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("simple.py", code)
    return Service(folder / "run", {"CAPTIONIZE_MODEL_STORE": str(folder / "store")})


GOOD = "def handle(data, context): return data and ['{}'] * len(data)\n"
BROKEN = "def handle(data, context): raise OSError('no weights')\n"


def test_the_check_of_a_container(service: Service, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "webui.serve", "--check"]
    for options in ([], ["--without-page"]):
        subprocess.run([*command, *options], cwd=ROOT, env=service.environ, check=True)
    nobody = Service(tmp_path / "run").environ
    for options in ([], ["--without-page"]):
        result = subprocess.run([*command, *options], cwd=ROOT, env=nobody, check=False)
        assert result.returncode == 1


def test_ctrl_c_leaves_nothing(service: Service, tmp_path: Path) -> None:
    own = with_model(tmp_path, GOOD)
    own.environ["JAVA_TOOL_OPTIONS"] = "-Dcaptionize.log.size=2KB"
    own.start()  # a second service beside the first
    assert len(processes_of(own)) >= 4  # launcher, Java, its worker, the page
    assert own.stop(signal.SIGINT) == 0
    assert processes_of(own) == []
    assert sorted(path.name for path in own.run_dir.iterdir()) == ["logs", "state"]
    # A log that is too long gives way to a new one, and all but three of the older ones go.
    logs = own.run_dir / "logs"
    assert len([*logs.glob("ts_log*")]) == 4
    assert sum(path.stat().st_size for path in logs.glob("ts_log*")) < 4 * 4096
    assert Client(service).readyz() == 200


def java_of(service: Service) -> int:
    (java,) = [pid for pid in processes_of(service) if "java" in os.readlink(f"/proc/{pid}/exe")]
    return java


def test_when_torchserve_dies_the_page_stays_and_says_so(tmp_path: Path) -> None:
    own = with_model(tmp_path, GOOD).start()
    client = Client(own)
    before = set(processes_of(own))
    os.kill(java := java_of(own), signal.SIGKILL)
    answer = requests.post(
        f"{own.page_url}/api/captions", files={"image": ("p.jpg", COFFEE)}, timeout=TIMEOUT_S
    )
    assert (answer.status_code, answer.json()["type"]) == (503, "Restarting")
    assert int(answer.headers["Retry-After"]) > 0
    ready = requests.get(f"{own.page_url}/readyz", timeout=TIMEOUT_S)
    assert (ready.status_code, ready.json()["reason"]) == (503, "Restarting")
    assert "is being started again" in ready.json()["message"]
    assert (
        "captioning service is being started again"
        in requests.get(own.page_url, timeout=TIMEOUT_S).text
    )
    wait_for(lambda: client.readyz() == 200, 60)
    assert java not in processes_of(own)
    assert len(before & set(processes_of(own))) == 2, "the launcher and the page are the same"
    wait_for(lambda: own.output.read_text().endswith("\nTorchServe is ready again.\n"), 10)
    assert own.stop() == 0
    assert processes_of(own) == []


@pytest.mark.slow
def test_when_the_page_dies_it_is_started_again(tmp_path: Path) -> None:
    own = with_model(tmp_path, GOOD).start()
    client = Client(own)
    visitor = requests.Session()
    form = visitor.get(own.page_url, timeout=TIMEOUT_S).text
    token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', form)
    assert token
    (page,) = [
        pid
        for pid in processes_of(own)
        if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"-m\0webui\0")
    ]
    os.kill(page, signal.SIGKILL)

    def ready_again() -> bool:
        return own.output.read_text().endswith("The page is ready again.\n")

    wait_for(ready_again, 30)
    assert client.readyz() == 200
    answer = visitor.post(own.page_url, data={"csrf_token": token[1]}, timeout=TIMEOUT_S)
    assert "Choose a picture and send it again." in answer.text
    assert own.stop() == 0


def test_a_killed_launcher_takes_all_along(tmp_path: Path) -> None:
    own = with_model(tmp_path, GOOD).start()
    own.process.kill()
    own.process.wait()
    wait_for(lambda: processes_of(own) == [], 30)
    own.start().stop()  # what it left behind is in nobody's way


def test_a_port_in_use_is_named(service: Service, tmp_path: Path) -> None:
    port = service.environ["CAPTIONIZE_PORT"]
    again = Service(tmp_path / "run", {"CAPTIONIZE_PORT": port})
    again.launch()
    assert again.first_line().startswith(f"Port {port} is in use.")
    assert "CAPTIONIZE_PORT" in again.first_line()
    assert again.process.wait(10) == 1


def test_a_model_that_cannot_start_is_given_up(tmp_path: Path) -> None:
    own = with_model(tmp_path, BROKEN)
    own.launch()
    assert own.first_line().startswith(
        "The model's worker crashed 3 times while starting: OSError: no weights (see "
    )
    assert own.process.wait(30) == 1
    assert processes_of(own) == []
