"""Kills the model's worker again and again under clients, and counts their answers.

python -m tests.torture.kills --run-dir run --kills 20
python -m tests.torture.kills --run-dir run --kills 20 --during start
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.torture.clients import Clients

AFTER_READY_S = 2.0
IN_START_S = 0.7  # after the process began, while it loads the model


def workers(run_dir: Path) -> list[psutil.Process]:
    """The worker processes of the service with this run folder."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if "model_service_worker.py" in command and str(run_dir.resolve()) in command:
            found.append(process)
    return found


def wait_until_ready(url: str, seconds: float = 300) -> None:
    """Wait for /readyz."""
    give_up = time.monotonic() + seconds
    while not is_ready(url):
        if time.monotonic() > give_up:
            raise TimeoutError(f"not ready within {seconds:g} s")
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    """Whether /readyz answers 200; not while the page itself is away."""
    try:
        return requests.get(f"{url}/readyz", timeout=10).status_code == 200
    except requests.ConnectionError:
        return False


def kill_when_ready(url: str, run_dir: Path) -> None:
    """Kill the workers a while after one is READY, in the middle of batches."""
    wait_until_ready(url)
    time.sleep(AFTER_READY_S)
    for process in workers(run_dir):
        os.kill(process.pid, signal.SIGKILL)


def kill_in_start(url: str, run_dir: Path) -> None:
    """Kill the workers, and the one that is started next as well, before it is READY."""
    kill_when_ready(url, run_dir)
    give_up = time.monotonic() + 60
    while not any(time.time() - one.create_time() > IN_START_S for one in workers(run_dir)):
        if time.monotonic() > give_up:
            raise TimeoutError("no worker was started within 60 s")
        time.sleep(0.02)
    for process in workers(run_dir):
        os.kill(process.pid, signal.SIGKILL)


def main() -> None:
    """Run it and print a line of figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(",")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--run-dir", type=Path, default=Path("run"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--during", choices=("captions", "start"), default="captions")
    options: Any = parser.parse_args()
    kill = kill_in_start if options.during == "start" else kill_when_ready
    begun = time.monotonic()
    with Clients(options.url, options.clients) as clients:
        for _ in range(options.kills):
            kill(options.url, options.run_dir)
        wait_until_ready(options.url)
        time.sleep(AFTER_READY_S)
    print(
        f"{options.kills} kills in {time.monotonic() - begun:.0f} s: "
        f"{dict(clients.answers)}, the longest took {clients.longest:.1f} s"
    )


if __name__ == "__main__":
    main()
