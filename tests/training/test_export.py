"""The command that exports a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training import export
from training.packaging import exporting


def test_export_writes_the_vocabulary_beside_the_module(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "captioner.pt"
    words = ["--checkpoint", str(run / "best.pt"), "--output", str(output), "--no-onnx"]
    assert export.main(words) == 0
    assert sorted(path.name for path in output.parent.iterdir()) == ["captioner.pt", "vocab.json"]
    assert (output.parent / "vocab.json").read_bytes() == (run / "vocab.json").read_bytes()


def test_a_refused_export_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def differ(*_: Any) -> None:
        raise exporting.ExportError("They differ.")

    monkeypatch.setattr(exporting, "check_parity", differ)
    output = tmp_path / "captioner.pt"
    words = ["--checkpoint", str(run / "best.pt"), "--output", str(output), "--no-onnx"]
    assert export.main(words) == 1
    assert caplog.messages[-1] == "error: They differ."
    assert list(tmp_path.iterdir()) == []


def test_export_without_a_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert export.main(["--checkpoint", str(tmp_path / "best.pt")]) == 1
    assert "There is no checkpoint" in caplog.messages[-1]
