"""Rounds of torture: a few on the shared service, all of them on one of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Service
from tests.torture.rounds import pictures, slow, worker
from tests.torture.stage import Stage
from tests.torture.torture import Torture


@pytest.mark.slow
def test_killed_workers_slow_clients_and_damaged_pictures(service: Service, tmp_path: Path) -> None:
    torture = Torture(Stage(service), tmp_path, short=True)
    torture.warm_up()
    for seed, action in enumerate((pictures, worker, slow)):
        torture.run(action, seed)
    torture.check_files()
    assert torture.breaches == []
    assert set(torture.answers) == {"200"}, "nothing was beyond the queue"
    assert torture.kills["worker"]
    assert torture.mutated


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_round() -> None:
    command = [sys.executable, "-m", "tests.torture", "--minutes", "4", "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
