"""Captions that are trusted too little, folders that are watched, and what is said at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.drawn import SHOWN
from training import caption
from training.pictures.results import Caption, Result, Tally, trusted

ROOT = Path(__file__).resolve().parents[2]


def result(name: str, trust: str | None) -> Result:
    return Result(Path(name), [Caption("a cat", -1.0, 0.5, trust)])


RESULTS = [
    *(result(name, name) for name in ("right", "check", "unknown")),
    result("silent", None),
    Result(Path("bad"), [], "It is damaged."),
]


@pytest.mark.parametrize(
    ("least", "kept", "said"),
    [
        (
            "unknown",
            ["right", "check", "unknown", "silent"],
            "Look at: check, unknown, silent\n4 captioned, 2 to check, 1 can't tell, 1 failed",
        ),
        (
            "check",
            ["right", "check", "silent"],
            "Look at: check, silent\n3 captioned, 2 to check, 1 skipped, 1 failed",
        ),
        ("right", ["right"], "1 captioned, 3 skipped, 1 failed"),
    ],
)
def test_what_is_trusted_less_is_skipped(least: str, kept: list[str], said: str) -> None:
    tally = Tally()
    found = list(tally.count(trusted(RESULTS, least)))
    assert [one.path.name for one in found if one.captions] == kept
    assert tally.closing() == said
    assert tally.failed


def test_many_to_look_at_are_counted() -> None:
    tally = Tally()
    list(tally.count(result(f"{number}.jpg", "check") for number in range(12)))
    assert "9.jpg and 2 more\n12 captioned" in tally.closing()


def until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 100
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_folder_is_watched(mar: Path, tmp_path: Path, signum: signal.Signals) -> None:
    first = SHOWN[0].save(tmp_path)
    output = tmp_path / "captions.txt"
    words = ["-m", "training.caption", "--model", mar, "--watch", "--output", output, tmp_path]
    watching = subprocess.Popen([sys.executable, *words], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        until(lambda: output.exists() and first.name in output.read_text())
        data = SHOWN[1].save(tmp_path).read_bytes()
        copied = tmp_path / "copied.png"
        copied.write_bytes(data)
        until(lambda: "copied.png" in output.read_text())
        watching.send_signal(signum)
        _, said = watching.communicate(timeout=60)
    finally:
        watching.kill()
    assert watching.returncode == 0, said
    assert "3 captioned" in said.decode().splitlines()[-1]
    lines = [line.split("\t") for line in output.read_text().splitlines()]
    assert [text for _, text in lines] == [SHOWN[0].caption, *[SHOWN[1].caption] * 2]


def test_ctrl_c_ends_with_what_was_done(
    mar: Path,
    pictures: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def interrupted(path: Path) -> bytes:
        os.kill(os.getpid(), signal.SIGINT)
        return b""

    monkeypatch.setattr(Path, "read_bytes", interrupted)
    assert caption.main(["--model", str(mar), str(pictures[0])]) == caption.INTERRUPTED
    assert caplog.messages[-1] == "0 captioned"


def test_every_default_is_in_the_help() -> None:
    parser = caption.build_parser()
    silent = [
        action.dest
        for action in parser._actions
        if action.nargs != 0 and action.option_strings and "default" not in (action.help or "")
    ]
    assert silent == []
