"""What is to be served: kept as a whole, checked when it is read."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from webui.web.state import Note, State, Wanted, WantedModel, WantedVersion


def change(state: State) -> None:
    with state.change() as wanted:
        version = WantedVersion("second.mar", 2, batch_size=4)
        wanted.models["captioner"] = WantedModel("2.0", ["1.0"], {"2.0": version})
        wanted.canary = {"version": "1.0", "share": 0.5}
        wanted.notes = {"captioner": {"2.0": Note("Ours.", ["try"])}}
        wanted.loaded, wanted.torchserve = {"captioner 1.0": "my model ü.mar"}, "then"


def test_what_is_wanted_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "state" / "desired.json"
    state = State(path)
    change(state)
    assert State(path).get() == state.get() != Wanted()
    assert [one.name for one in path.parent.iterdir()] == ["desired.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_change_that_fails_is_none(tmp_path: Path) -> None:
    path = tmp_path / "desired.json"
    state = State(path)
    change(state)
    before, text = state.get(), path.read_text()

    def fail() -> None:
        with state.change() as wanted:
            wanted.models["captioner"].previous.append("9")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert state.get() == before
    assert path.read_text() == text


def damaged(**members: Any) -> str:
    whole = {"format": 1, "torchserve": "", "loaded": {}, "models": {}, "canary": None}
    return json.dumps({**whole, **members})


def model(**members: Any) -> dict[str, Any]:
    return {"captioner": {"default": "1.0", "previous": [], "versions": {}, **members}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{half", "Expecting property name"),
        ("[" * 100_000, "recursion"),
        ("\xff", "codec can't decode"),
        ("[]", "expected an object, got []"),
        ('{"previous/captioner": "1.0"}', "expected format 1, got None"),
        (damaged(format=2), "expected format 1, got 2"),
        (damaged(torchserve=None), "a text for torchserve"),
        (damaged(loaded=[]), "an object for loaded"),
        (damaged(loaded={"captioner 1.0": 1}), "the name of an archive"),
        (damaged(models={"captioner": []}), "an object for a model"),
        (damaged(models=model(default="../x")), "the name of a model or a version, got '../x'"),
        (damaged(models=model(previous="1.0")), "a list for previous"),
        (damaged(models=model(versions={"1.0": {"archive": None}})), "the name of an archive"),
        (
            damaged(models=model(versions={"1.0": {"archive": "a.mar", "workers": True}})),
            "a whole number for workers, got True",
        ),
        (damaged(canary={"version": "1.0", "share": 2}), "a share above 0"),
    ],
)
def test_a_damaged_file_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, reason: str
) -> None:
    path = tmp_path / "desired.json"
    path.write_bytes(text.encode("latin-1"))
    state = State(path)
    assert state.get() == Wanted()
    [line] = caplog.messages
    assert reason in line
    assert "set aside as desired.json.damaged" in line
    assert path.with_name("desired.json.damaged").read_bytes() == text.encode("latin-1")
    change(state)
    assert State(path).get() == state.get()


def test_what_cannot_be_written_is_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    lost = State(tmp_path / "file" / "desired.json")
    assert "cannot be written" in caplog.text
    assert lost.problem
    change(lost)
    assert lost.get().models
    state = State(tmp_path / "desired.json")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        change(state)
    assert "No space left" in (state.problem or "")
    assert State(tmp_path / "desired.json").get() == Wanted(), "the file of before is whole"
    with state.change() as wanted:
        wanted.canary = None
    assert state.problem is None
    assert State(tmp_path / "desired.json").get() == state.get()
