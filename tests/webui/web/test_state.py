"""What is remembered over a restart of the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui.web.state import State


def test_what_is_remembered_is_whole_or_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "versions.json"
    state = State(path)
    state.set("a", {"share": 0.5})
    state.set("b", "1.0")
    state.set("b", None)
    state.set("b", None)
    assert State(path).get("a") == {"share": 0.5}
    assert State(path).get("b") is None
    assert [one.name for one in tmp_path.iterdir()] == ["versions.json"]
    for broken in ("{half", "[]"):
        path.write_text(broken)
        assert State(path).get("a") is None
    assert "cannot be read" in caplog.text
    lost = State(tmp_path / "nowhere" / "versions.json")
    lost.set("a", 1)
    assert lost.get("a") == 1
