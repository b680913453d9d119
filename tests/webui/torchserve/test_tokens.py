"""The keys in a file that changes under its reader."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from webui.launcher.plan import ROOT, read_properties
from webui.torchserve import tokens
from webui.torchserve.tokens import KeysUnreadable, read_key


def write(path: Path, inference: str) -> None:
    """Write a key file as TorchServe does at its start."""
    expires = {"expiration time": "2126-11-02T14:25:53.798429116Z"}
    keys = {
        "management": {"key": "m", **expires},
        "inference": {"key": inference, **expires},
        "API": {"key": "api"},
    }
    path.write_text(json.dumps(keys))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "key_file.json"


def test_each_kind_has_its_key(path: Path) -> None:
    write(path, "i")
    assert (read_key(path, "inference"), read_key(path, "management")) == ("i", "m")


def test_a_changed_file_is_read_again(path: Path) -> None:
    write(path, "first")
    assert read_key(path, "inference") == "first"
    write(path, "other")
    assert read_key(path, "inference") == "other"


def test_a_half_written_file_is_waited_for(path: Path) -> None:
    write(path, "whole")
    whole = path.read_text()
    path.write_text(whole[:60])
    threading.Timer(0.15, path.write_text, (whole,)).start()
    assert read_key(path, "inference") == "whole"


@pytest.mark.parametrize("content", ["", '{"inference"', "[]", "{}", '{"inference": 3}'])
def test_a_file_that_stays_broken_is_reported(
    path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "READ_FOR_S", 0.05)
    path.write_text(content)
    with pytest.raises(KeysUnreadable, match="holds no inference key"):
        read_key(path, "inference")


def test_an_absent_file_is_reported(path: Path) -> None:
    with pytest.raises(KeysUnreadable, match="No such file"):
        read_key(path, "management")


def test_the_keys_outlive_every_process() -> None:
    minutes = float(read_properties(ROOT / "config.properties")["token_expiration_min"])
    years = minutes / (60 * 24 * 365)
    assert years >= 50, "also for a clock that stands at 1970 when TorchServe starts"
    assert years < 1e8, "Java's Instant would overflow, and TorchServe not start"
