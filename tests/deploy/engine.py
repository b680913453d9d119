"""A Docker engine: its commands, and waiting for what it runs.

On an engine of one's own that has no registry, give it a base: an image debian:bookworm-slim.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "captionize:cpu"
READY_S = 180  # the start period of a health check, and one of its rounds


def run(*words: str, check: bool = True, **environ: str) -> str:
    """What a command writes; a failure with its last lines where it ends with another status."""
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(words)}: {done.stdout[-3000:]}", pytrace=False)
    return done.stdout


def wait(what: str, holds: Callable[[], object]) -> None:
    """Wait until it holds."""
    give_up = time.monotonic() + READY_S
    while not holds():
        if time.monotonic() > give_up:
            pytest.fail(f"{what}: not within {READY_S} s", pytrace=False)
        time.sleep(0.5)


def has(*words: str) -> bool:
    """Whether a command is there and succeeds."""
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
