"""`captionize batch` on a real Ray, whose actors, driver and machines are killed midway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.training.drawn import SHOWN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ROOT = Path(__file__).resolve().parents[2]
PICTURES = 400
PATIENCE_S = 600


class Driver:
    """The command on a folder of many drawings."""

    def __init__(self, mar: Path, folder: Path) -> None:
        self.album, self.out = folder / "album", folder / "out"
        drawings = [drawing.save(folder / "drawings") for drawing in SHOWN]
        self.album.mkdir()
        for number in range(PICTURES):
            drawing = drawings[number % len(drawings)]
            os.link(drawing, self.album / f"{number:03}{drawing.suffix}")
        (self.album / "bad.jpg").write_bytes(b"\xff\xd8\xff and then nothing")
        self._words = ["--model", str(mar), "--format", "jsonl", "--partition", "4"]
        self._children: list[psutil.Process] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start the command and wait for the first captions."""
        places = [str(self.album), str(self.out)]
        self._running = subprocess.Popen(
            [sys.executable, "-m", "captionize", "batch", *places, *self._words, *words],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        before, give_up = len(self.parts()), time.monotonic() + PATIENCE_S
        while len(self.parts()) == before and self._running.poll() is None:
            assert time.monotonic() < give_up
            time.sleep(0.02)
        self._children += psutil.Process(self._running.pid).children(recursive=True)
        return self._running

    def parts(self) -> list[Path]:
        return sorted(self.out.glob("part-*"))

    def processes(self, name: str) -> list[psutil.Process]:
        """Those that the command started and whose command holds ``name``."""
        return [one for one in self._children if name in " ".join(one.cmdline())]

    def rows(self) -> dict[str, dict[str, Any]]:
        """What is written, by picture; nothing is there twice."""
        rows = [json.loads(line) for part in self.parts() for line in part.read_text().splitlines()]
        found = {row["path"]: row for row in rows}
        assert len(found) == len(rows)
        return found

    def check_all(self) -> None:
        """Every picture has its caption, and the bad one its error."""
        rows = self.rows()
        assert len(rows) == PICTURES + 1
        for number in range(PICTURES):
            drawing = SHOWN[number % len(SHOWN)]
            (path,) = self.album.glob(f"{number:03}.*")
            assert rows[str(path)]["caption"] == drawing.caption
        assert rows[str(self.album / "bad.jpg")]["error_type"] == "CorruptImage"

    def close(self) -> None:
        """End what Ray leaves of a driver that was killed."""
        self._running.kill()
        self._running.communicate()
        for one in self._children:
            if one.is_running():
                one.kill()
        psutil.wait_procs(self._children, PATIENCE_S)


@pytest.fixture
def driver(mar: Path, tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(mar, tmp_path)
    yield driver
    driver.close()


def test_nobody_else_can_give_it_orders(driver: Driver) -> None:
    driver.start()
    for actor in driver.processes("Captioning"):
        actor.suspend()  # so that there is still somebody to ask
    (server,) = driver.processes("gcs_server")
    (port,) = {one.laddr.port for one in server.net_connections() if one.status == "LISTEN"}
    done = subprocess.run(
        [sys.executable, "-c", f"import ray; ray.init('127.0.0.1:{port}')"],
        env={"PATH": os.environ["PATH"], "HOME": str(driver.out)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode
    assert "InvalidAuthToken" in done.stderr, done.stderr


def test_an_actor_is_killed(driver: Driver) -> None:
    running = driver.start()
    actors = driver.processes("Captioning")
    assert actors
    actors[0].kill()
    _, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 1, said  # for the bad picture
    assert said.splitlines()[-1] == f"{PICTURES} captioned, 1 failed"
    driver.check_all()


def test_the_driver_is_killed_and_started_again(driver: Driver) -> None:
    running = driver.start()
    running.kill()
    running.wait()
    before = {part: part.stat().st_mtime_ns for part in driver.parts()}
    assert 0 < len(driver.rows()) < PICTURES
    driver.close()
    again = driver.start()
    _, said = again.communicate(timeout=PATIENCE_S)
    assert said.startswith(f"{PICTURES + 1} pictures, ")
    assert not said.startswith(f"{PICTURES + 1} pictures, 0 of them")
    driver.check_all()
    kept = {part: part.stat().st_mtime_ns for part in driver.parts()}
    assert before.items() <= kept.items()


def test_a_machine_of_the_cluster_is_lost(driver: Driver) -> None:
    from ray.cluster_utils import Cluster  # here, as importing Ray takes seconds

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        lost = cluster.add_node(num_cpus=1)
        running = driver.start("--address", cluster.address)
        cluster.remove_node(lost, allow_graceful=False)
        _, said = running.communicate(timeout=PATIENCE_S)
        assert running.returncode == 1, said
        driver.check_all()
    finally:
        cluster.shutdown()
