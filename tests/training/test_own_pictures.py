"""The documented example of training on one's own pictures, word for word."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import pytest

from tests.training import drawn
from tests.training.drawn import SHOWN
from training import caption, train
from training.data.splits import read_splits
from training.metrics import coco
from training.packaging import archives

ROOT = Path(__file__).parents[2]


def commands() -> list[list[str]]:
    """The commands of the block that draws pictures, as words without the interpreter."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = next(b for b in blocks if "tests.training.drawn" in b).splitlines()
    # `make train` is this program in the repository's own environment; here it is in the test's.
    trained = (
        re.sub(r'^make train ARGS="(.*)"$', r"python -m training.train \1", x) for x in lines
    )
    return [shlex.split(line.split("#")[0])[1:] for line in trained]


def test_the_example_can_be_followed(
    mar: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With a taught model in the shipped one's place, which is quick to train, in one epoch."""
    draw, train_words, caption_words = commands()
    monkeypatch.setattr(coco.CocoScorer.__call__, "__defaults__", (("bleu",),))
    without_onnx = partial(archives.export_checkpoint, onnx=False)  # which takes its time
    monkeypatch.setattr(archives, "export_checkpoint", without_onnx)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model_store").mkdir()
    (tmp_path / "model_store" / "captioner.mar").symlink_to(mar)
    drawn.main(draw[2:])
    label = ["--name", "captioner", "--version", "2.0"]
    options = ["--epochs", "1", "--threads", "1", "--device", "cpu", *label]
    assert train.main([*train_words[2:], *options]) == 0
    assert "On the held-out dev pictures, CIDEr went from" in caplog.text
    assert caption.main(caption_words[2:]) == 0
    assert SHOWN[0].caption in capsys.readouterr().out
    packed = train_words[train_words.index("--archive") + 1]
    with zipfile.ZipFile(packed) as file:
        card = json.loads(file.read("model_card.json"))
        model = json.loads(file.read("MAR-INF/MANIFEST.json"))["model"]
    assert (card["name"], card["version"]) == ("captioner", "2.0")
    assert (model["modelName"], model["modelVersion"]) == ("captioner", "2.0")
    assert card["confidence"]["pictures"] == card["scores"]["pictures"] == 24
    assert card["confidence"]["words_confirmed"] == card["scores"]["words_confirmed"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_example_teaches_the_shipped_model_what_is_drawn(tmp_path: Path) -> None:
    draw, train, caption = commands()
    (tmp_path / "model_store").symlink_to(ROOT / "model_store")
    log = ""
    # Of the ten epochs, the first four are enough to see that it learns.
    for words in (draw, [*train, "--epochs", "4", "--threads", "2"], caption):
        result = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr[-3000:]
        log += result.stderr
    pictures = read_splits(tmp_path / draw[2])
    assert [len(pictures[split]) for split in ("train", "dev")] == [72, 24]
    gain = re.search(r"CIDEr went from (\d+\.\d+) to (\d+\.\d+)", log)
    assert gain
    assert float(gain[1]) < 1
    assert float(gain[2]) > 5
    assert "a red circle on white" in result.stdout
