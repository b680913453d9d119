"""Which Python `make` takes, and what it says where there is none. Nothing is installed here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ["3.9.2", "3.10.12", "3.11.2", "3.12.3", "3.13.5", "3.14.0"]


class Machine:
    """A PATH with the commands that the recipe needs, and the interpreters that a test adds."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.venv = folder / "venv"
        for name in ("make", "mkdir", "rm", "sh", "touch"):
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)

    def add(self, name: str, script: str) -> Path:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def add_python(self, name: str, version: str, *, venv: bool = True) -> Path:
        """An interpreter that claims to be `version` and ends when it is to make an environment."""
        numbers = tuple(map(int, version.split(".")))
        lies = f"import sys; sys.version_info = {numbers}"
        if not venv:
            lies += '; sys.modules["ensurepip"] = None'
        return self.add(
            name,
            'case "$1" in\n'
            f"--version) echo Python {version} ;;\n"
            f"-c) exec {sys.executable} -c '{lies}; exec(sys.argv[1])' \"$2\" ;;\n"
            f'*) echo "{name} {version} $*"; exit 1 ;;\n'
            "esac",
        )

    def make(self, *words: str) -> str:
        """What `make serve` says; it never succeeds."""
        result = subprocess.run(
            ["make", "serve", f"VENV={self.venv}", *words],
            cwd=ROOT,
            env={"PATH": str(self.bin), "HOME": os.devnull},
            capture_output=True,
            text=True,
        )
        assert result.returncode
        return result.stdout + result.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
def test_make_takes_the_versions_that_the_project_declares(machine: Machine, version: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    machine.add_python("python3", version)
    said = machine.make()
    if version in SpecifierSet(project["requires-python"]):
        assert f"python3 {version} -m venv {machine.venv}" in said
    else:
        assert f"Captionize needs Python 3.11, 3.12 or 3.13 and found Python {version}." in said
        assert "make serve PYTHON=" in said


def test_a_name_that_does_not_run_is_passed_by(machine: Machine) -> None:
    machine.add("python3.11", "echo 'pyenv: python3.11: command not found' >&2; exit 127")
    machine.add_python("python3.13", "3.13.5")
    assert f"python3.13 3.13.5 -m venv {machine.venv}" in machine.make()


def test_the_python_that_is_named_is_taken(machine: Machine) -> None:
    machine.add_python("python3.11", "3.11.2")
    named = machine.add_python("mine", "3.12.3")
    assert f"mine 3.12.3 -m venv {machine.venv}" in machine.make(f"PYTHON={named}")


def test_without_a_python_make_says_so(machine: Machine) -> None:
    assert "found no Python." in machine.make()


def test_a_missing_venv_module_is_named(machine: Machine) -> None:
    machine.add_python("python3", "3.13.5", venv=False)
    assert "sudo apt install python3.13-venv" in machine.make()


@pytest.mark.parametrize(("version", "venv"), [("3.9.2", True), ("3.12.3", False)])
def test_uv_is_asked_where_no_python_will_do(machine: Machine, version: str, venv: bool) -> None:
    machine.add_python("python3", version, venv=venv)
    machine.add("uv", 'echo "uv $*"; exit 1')
    assert f"uv venv --seed --allow-existing {machine.venv}" in machine.make()


def test_uv_does_not_replace_the_python_that_was_named(machine: Machine) -> None:
    named = machine.add_python("mine", "3.9.2")
    machine.add("uv", 'echo "uv $*"; exit 1')
    assert "found Python 3.9.2." in machine.make(f"PYTHON={named}")
