"""The client of the management API and `webui.admin`, over the real TorchServe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.e2e.administration.conftest import archive, caption
from tests.e2e.conftest import ROOT, Service
from tests.shipped import VERSION
from tests.webui import management_contract as contract
from tests.webui.administration import TOKEN
from webui.admin import cli
from webui.torchserve.client import TorchServe
from webui.torchserve.management import Management
from webui.web.settings import Settings

pytestmark = pytest.mark.usefixtures("archives")


@pytest.fixture
def management(service: Service) -> Management:
    settings = Settings(
        inference_url=service.inference_url,
        management_url=service.management_url,
        key_file=service.run_dir / "key_file.json",
    )
    return Management(TorchServe(settings))


def test_the_life_of_a_version(management: Management, store: Path) -> None:
    contract.check_life_of_a_version(management, store, VERSION)


def test_a_model_of_its_own(management: Management, store: Path) -> None:
    contract.check_a_model_of_its_own(management, store)


def test_what_is_not_there(management: Management) -> None:
    contract.check_what_is_not_there(management)


def test_a_worker_s_memory_is_known(management: Management) -> None:
    [worker] = management.version("captioner", VERSION).workers
    assert worker.memory_bytes
    assert worker.memory_bytes > 50 * 2**20


def test_the_command_line(service: Service, store: Path, tmp_path: Path) -> None:
    environ = {"CAPTIONIZE_ADMIN_TOKEN": TOKEN}
    at = ("--url", service.page_url)

    def admin(*arguments: str, status: int = 0) -> str:
        ended = CliRunner().invoke(cli, [*at, *arguments], env=environ)
        assert ended.exit_code == status, ended.output
        return (ended.stderr if status else ended.stdout).strip()

    third = archive(tmp_path / "third.mar", "3.0")
    command = [sys.executable, "-m", "webui.admin", *at, "upload", str(third)]
    uploaded = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert uploaded.stdout.decode() == "third.mar (captioner 3.0) is in the model store.\n"
    assert "never overwritten" in admin("upload", str(third), status=1)
    assert "third.mar" in admin("archives")
    assert admin("register", "third.mar") == "captioner 3.0 is registered with 1 worker."
    assert "registered already" in admin("register", "third.mar", status=1)
    assert admin("scale", "captioner", "3.0", "2") == "captioner 3.0 has 2 workers."
    rows = [line.split() for line in admin("models").splitlines()]
    assert rows[1:] == [
        ["captioner", VERSION, "yes", "1", "1", "0", "captioner.mar"],
        ["captioner", "3.0", "-", "2", "2", "0", "third.mar"],
    ]
    assert admin("canary", "3.0", "--share", "1").splitlines()[2].split()[:2] == ["3.0", "100%"]
    answer = caption(service).json()
    assert answer["model"]["version"] == "3.0"
    # What an archive's code sees of the environment: none of the page's secrets.
    seen = answer["caption"].split()
    assert "CAPTIONIZE_RUN_DIR" in seen
    assert not [name for name in seen if "SECRET" in name or "ADMIN" in name]
    admin("canary", "--off")
    assert caption(service).json()["model"]["version"] == VERSION
    assert admin("default", "captioner", "3.0") == "captioner 3.0 is the default."
    assert caption(service).json()["model"]["version"] == "3.0"
    assert "Make another version the default" in admin("unregister", "captioner", "3.0", status=1)
    assert admin("rollback", "captioner") == f"captioner {VERSION} is the default again."
    assert admin("unregister", "captioner", "3.0") == "captioner 3.0 is unregistered."
    assert (store / "third.mar").exists()
    assert "crash while starting: OSError: no weights" in admin("register", "broken.mar", status=1)
    assert len(admin("models").splitlines()) == 2
    entries = [json.loads(line) for line in admin("audit", "--last", "2").splitlines()]
    assert [(one["action"], one["outcome"]) for one in entries] == [
        ("unregister", "done"),
        ("register", "failed"),
    ]
    log = service.run_dir / "logs" / "audit.jsonl"
    assert json.loads(log.read_text().splitlines()[-1]) == entries[-1]
    (store / "third.mar").unlink()
