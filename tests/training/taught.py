"""A captioner that was taught coloured shapes by the real commands: made once for the same code.

What the commands make is kept under .cache/tests, in a folder named by a hash of all code that
takes part, so that the next run of the tests, and every worker of this one, finds it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from tests.training.drawn import DEV, LEARNING, TAUGHT, TEST, write_kaggle
from training import archive, calibrate, evaluate, export, train

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "tests"
KEPT_S = 7 * 24 * 3600.0  # for which the files of other code are kept
SOURCES = (
    *("training/**/*.py", "handler/*.*", "constraints.txt"),
    *("tests/training/drawn.py", "tests/training/taught.py"),
)


@cache
def taught() -> Path:
    """The folder that ``teach`` filled: for reading alone, as others read it too."""
    folder = CACHE / _digest()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed, or this process dies
        if not folder.exists():
            for old in CACHE.iterdir():
                if old.is_dir() and time.time() - old.stat().st_mtime > KEPT_S:
                    shutil.rmtree(old)
            unfinished = Path(tempfile.mkdtemp(dir=CACHE))
            # In a process of its own, so that nothing that tests patch has a part in it.
            command = [sys.executable, "-m", "tests.training.taught", str(unfinished)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-3000:]
            os.rename(unfinished, folder)
    return folder


def _digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for pattern in SOURCES for path in ROOT.glob(pattern)):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def teach(folder: Path) -> None:
    """Fill ``folder``: data/, run/ (as training leaves it), exported/ and drawings.mar."""
    data = ["--data", write_kaggle(folder / "data", train=TAUGHT, dev=DEV, test=TEST)]
    best, exported = folder / "run" / "best.pt", folder / "exported"
    cached = ["--cache", folder / "features"]
    _run(train, *data, *cached, "--output", folder / "run", *LEARNING)
    shutil.rmtree(folder / "features")
    exported.mkdir()
    shutil.copy(best, exported)
    _run(calibrate, *data, "--checkpoint", exported / "best.pt", "--threads", 1)
    _run(export, "--checkpoint", exported / "best.pt")
    model = ["--model", exported / "captioner.pt", "--max-length", 8, "--threads", 1]
    _run(evaluate, *data, *model, "--output", exported / "scores.json")
    label = ["--version", "2.5", "--data-name", "drawings"]
    _run(archive, "--run", exported, "--output", folder / "drawings.mar", *label)


def _run(door: object, *words: object) -> None:
    assert door.main([str(word) for word in words]) == 0  # type: ignore[attr-defined]


if __name__ == "__main__":  # python -m tests.training.taught FOLDER
    teach(Path(sys.argv[1]))
