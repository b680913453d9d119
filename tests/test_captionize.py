"""`captionize`: which command it runs, with what, and what it imports for that."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import captionize

ROOT = Path(__file__).resolve().parents[1]


class Modules:
    """Stands in for `importlib` and the commands' modules, and notes which is called and how."""

    def __init__(self) -> None:
        self.called: list[tuple[str, list[str], str]] = []

    def import_module(self, name: str) -> SimpleNamespace:
        def main(arguments: list[str], prog: str) -> int:
            self.called.append((name, arguments, prog))
            return 7

        return SimpleNamespace(main=main)


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Modules:
    modules = Modules()
    monkeypatch.setattr(captionize, "importlib", modules)
    return modules


@pytest.mark.parametrize(
    ("words", "module", "passed_on"),
    [
        (["train", "--data", "x", "--help"], "training.train", ["--data", "x", "--help"]),
        (["serve"], "webui.serve", []),
        (["admin", "--url", "u", "models"], "webui.admin", ["--url", "u", "models"]),
        (["caption", "serve"], "training.caption", ["serve"]),
        (["a.jpg", "folder"], "training.caption", ["a.jpg", "folder"]),
        (["./train"], "training.caption", ["./train"]),
        (["--format", "csv", "a.jpg"], "training.caption", ["--format", "csv", "a.jpg"]),
    ],
)
def test_a_command_gets_the_words_after_its_name(
    modules: Modules, words: list[str], module: str, passed_on: list[str]
) -> None:
    assert captionize.main(words) == 7
    prog = "captionize caption" if module == "training.caption" else f"captionize {words[0]}"
    assert modules.called == [(module, passed_on, prog)]


@pytest.mark.parametrize("name", captionize.COMMANDS)
def test_every_command_helps_under_the_name_it_was_called_by(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        captionize.main([name, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.lower().startswith(f"usage: captionize {name} ")


def test_the_help_is_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert captionize.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for name in captionize.COMMANDS:
        assert any(line.split()[:1] == [name] for line in lines)


def test_without_a_word_it_helps_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert captionize.main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("usage: captionize")


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_only_the_command_that_is_called_is_imported(word: str, tmp_path: Path) -> None:
    code = (
        "import json, runpy, sys; sys.argv[1:] = sys.argv[2:]\n"
        "try: runpy.run_module('captionize', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    command = [sys.executable, "-c", code, "captionize", word]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *printed, modules = ended.stdout.splitlines()
    assert printed
    assert not {"torch", "flask", "numpy", "basics", "handler", "training", "webui"} & {
        *json.loads(modules)
    }


def test_it_is_a_module_that_runs() -> None:
    command = [sys.executable, "-m", "captionize", "--version"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == f"captionize {captionize.__version__}\n"


@pytest.mark.parametrize(("name", "extra"), [("train", "'.[train]'"), ("serve", "'.'")])
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, extra: str
) -> None:
    def fail(module: str) -> None:
        raise ModuleNotFoundError("No module named 'timm'", name="timm.models")

    monkeypatch.setattr(captionize, "importlib", SimpleNamespace(import_module=fail))
    assert captionize.main([name]) == 1
    printed = capsys.readouterr().err
    assert "timm" in printed
    assert extra in printed


def test_a_module_of_its_own_that_is_missing_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(captionize.COMMANDS, "serve", ("webui.away", "", ""))
    assert captionize.importlib is importlib
    with pytest.raises(ModuleNotFoundError):
        captionize.main(["serve"])
