"""Captions borrowed from other pictures, and training on them: the real commands in a row."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import torch

from tests.training.drawn import TAUGHT
from training import borrow, train
from training.packaging import borrowing
from training.trainer import checkpoint

SAID = sorted({drawing.caption for drawing in TAUGHT})


def test_borrowed_captions_suit_and_are_trained_on(
    run: Path, drawn_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(borrowing, "SURE", 2.0)  # no caption names what a tag might say of drawings
    folder = tmp_path / "pictures"
    paths = [drawing.save(folder) for drawing in TAUGHT[:10]]
    (folder / "text.png").write_text("no picture")  # is named, and ends nothing
    text, borrowed = tmp_path / "text.txt", tmp_path / "borrowed.jsonl"
    text.write_text("\n".join(SAID) + "\nsomething of unknown words\n")
    words = ["--checkpoint", run / "best.pt", "--text", text, "--pictures", folder]
    assert borrow.main([*map(str, words), "--output", str(borrowed)]) == 0
    lines = map(json.loads, borrowed.read_text().splitlines())
    rows = {Path(line["image"]).name: line["captions"] for line in lines}
    assert set(rows) == {path.name for path in paths}
    first = [rows[path.name][0] for path in paths]
    assert sum(a == d.caption for a, d in zip(first, TAUGHT, strict=False)) >= 5
    assert all(len(set(captions)) == 3 for captions in rows.values())

    words = ["--init", run / "best.pt", "--data", drawn_data, "--also", borrowed, "--text", text]
    words += ["--output", tmp_path / "run", "--cache", tmp_path / "cache", "--text-batch", "8"]
    phases = ["--epochs", "1", "--scst-epochs", "1", "--precision", "bfloat16", "--batch-size", "8"]
    assert train.main([*map(str, words), *phases]) == 0
    history = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["phase"] for line in history] == ["cross-entropy", "self-critical"]


@pytest.mark.parametrize(
    ("what", "said"), [("tags", "must have tags"), ("pictures", "must hold pictures")]
)
def test_what_cannot_be_borrowed_is_named(
    what: str,
    said: str,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, text = run / "best.pt", tmp_path / "text.txt"
    text.write_text("\n".join(SAID))
    if what == "tags":
        content = checkpoint.read(path)
        content["config"] |= {"decoder": "attention", "tags": 0}
        content["model"] = {
            name: value
            for name, value in content["model"].items()
            if not name.startswith(("tagger.", "decoder.tags."))
        }
        path = tmp_path / "untagged.pt"
        torch.save(content, path)
    words = ["--checkpoint", path, "--text", text, "--pictures", tmp_path]
    words += ["--output", tmp_path / "borrowed.jsonl"]
    with contextlib.suppress(SystemExit):  # of an option that cannot be right
        assert borrow.main(list(map(str, words))) == 1
    assert said in capsys.readouterr().err + caplog.text
