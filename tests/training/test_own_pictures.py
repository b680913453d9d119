"""The README's example of training on one's own pictures, word for word."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from training.data.splits import read_splits

ROOT = Path(__file__).parents[2]


def commands() -> list[list[str]]:
    """The commands of the block that draws pictures, as words."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    lines = next(b for b in blocks if "tests.training.drawn" in b).splitlines()
    # `make train` is this program in the repository's own environment; here it is in the test's.
    trained = (
        re.sub(r'^make train ARGS="(.*)"$', r"python -m training.train \1", x) for x in lines
    )
    return [[sys.executable, *shlex.split(line)[1:]] for line in trained]


@pytest.mark.timeout(600)
def test_the_example_teaches_the_shipped_model_what_is_drawn(tmp_path: Path) -> None:
    draw, train, caption = commands()
    (tmp_path / "model_store").symlink_to(ROOT / "model_store")
    said = ""
    # Of the ten epochs, the first four are enough to see that it learns.
    for words in (draw, [*train, "--epochs", "4", "--threads", "2"], caption):
        result = subprocess.run(
            words,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr[-3000:]
        said += result.stderr
    pictures = read_splits(tmp_path / "runs" / "shapes")
    assert [len(pictures[split]) for split in ("train", "dev")] == [72, 24]
    gain = re.search(r"CIDEr went from (\d+\.\d+) to (\d+\.\d+)", said)
    assert gain
    assert float(gain[1]) < 1
    assert float(gain[2]) > 5
    assert "a red circle on white" in result.stdout
