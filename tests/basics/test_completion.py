"""Completion, as bash does it."""

from __future__ import annotations

import subprocess

import pytest

import captionize


@pytest.fixture(scope="module")
def script() -> str:
    command = ["-m", "captionize", "completion", "bash"]
    return _run(captionize.sys.executable, *command)


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ser", "serve"),
        ("--min", "--min-trust"),
        ("a.jpg --watc", "--watch"),
        ("a.jpg --format si", "sidecar"),
        ("train --resu", "--resume"),
        ("admin roll", "rollback"),
        ("completion z", "zsh"),
        ("a.jpg ser", ""),  # a picture: bash looks for files where nothing is offered
    ],
)
def test_bash(script: str, typed: str, offered: str) -> None:
    words = ["captionize", *typed.split(" ")]
    ask = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _captionize; echo "${COMPREPLY[@]}"'
    assert _run("bash", "-c", f"{script}\n{ask}", "bash", *words) == f"{offered}\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert captionize.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "bashcompinit" in script if shell == "zsh" else "-l format -xa 'text csv" in script
    assert "captionize" in script
