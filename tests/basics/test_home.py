"""Where Captionize finds its own files: in a clone, and in any folder once it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from basics import home
from tests.training.drawn import SHOWN

ROOT = Path(__file__).resolve().parents[2]


def test_a_clone_has_its_own_files_beside_the_code() -> None:
    assert home.home() == home.writable() == ROOT


def test_the_archive_is_looked_for_in_three_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAPTIONIZE_MODEL_STORE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    mine = tmp_path / "captionize" / "captioner.mar"
    mine.parent.mkdir()
    mine.touch()
    assert home.shipped() == ROOT / "model_store" / "captioner.mar"
    monkeypatch.setattr(home, "home", lambda: tmp_path)  # without an archive
    assert home.shipped() == mine
    monkeypatch.setenv("CAPTIONIZE_MODEL_STORE", str(tmp_path / "store"))
    assert home.shipped() == tmp_path / "store" / "captioner.mar"


def test_where_a_service_writes_without_a_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert home.writable() == tmp_path / "state" / "captionize"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and with the packages that it needs from this one."""
    folder = tmp_path_factory.mktemp("installed")
    clone = folder / "clone"  # in which building leaves what it will
    skipped = shutil.ignore_patterns(".*", "tests", "docs", "run*", "build", "*.egg-info")
    shutil.copytree(ROOT, clone, ignore=skipped)
    pip = [sys.executable, "-I", "-m", "pip", "-q", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", folder, clone]
    subprocess.run([*pip, *build], check=True)
    venv.create(folder / "venv")
    (wheel,) = folder.glob("*.whl")
    python = folder / "venv" / "bin" / "python"
    install = [*pip, "--python", python, "install", "--no-deps", wheel]
    subprocess.run(install, cwd=folder, env=os.environ | {"PYTHONPATH": ""}, check=True)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return python.with_name("captionize")


@pytest.mark.slow
def test_it_captions_from_an_empty_folder_without_the_clone(
    installed: Path, tmp_path: Path
) -> None:
    SHOWN[0].save(tmp_path)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(
        [installed, "."], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\t") == 1
    assert "1 captioned" in done.stderr
    nothing = {**environ, "CAPTIONIZE_MODEL_STORE": str(tmp_path)}
    done = subprocess.run(
        [installed, "."], cwd=tmp_path, env=nothing, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"There is no model {tmp_path}/captioner.mar" in done.stderr
    served = subprocess.run(
        [installed, "serve", "--check"], cwd=tmp_path, env=environ, text=True, check=False
    )
    assert served.returncode == 1  # nothing runs there, and nothing was missing to find that out
