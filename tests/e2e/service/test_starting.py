"""Starting and stopping: what is left, what is said, and what a crash does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.e2e.client import Client
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
    own = with_model(tmp_path, GOOD).start()  # a second service beside the first
    assert len(processes_of(own)) >= 5  # launcher, Java, its worker, gunicorn, its worker
    assert own.stop(signal.SIGINT) == 0
    assert processes_of(own) == []
    assert [path.name for path in own.run_dir.iterdir()] == ["logs"]
    assert Client(service).readyz() == 200


def test_when_torchserve_crashes_all_stops(tmp_path: Path) -> None:
    own = with_model(tmp_path, GOOD).start()
    (java,) = [pid for pid in processes_of(own) if "java" in os.readlink(f"/proc/{pid}/exe")]
    os.kill(java, signal.SIGKILL)
    assert own.process.wait(30) == 1
    assert processes_of(own) == []
    reported = own.output.read_text().splitlines()[-1]
    log = own.run_dir / "logs" / "torchserve.log"
    assert reported.startswith("TorchServe ")
    assert "SIGKILL" in reported
    assert reported.endswith(str(log))
    assert log.exists()


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
