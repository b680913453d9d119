"""Restarts each part of a service under clients; none of them may lose an answer.

python -m tests.torture.restarts --run-dir run --rounds 3
"""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path

import psutil

from tests.torture.clients import Clients
from tests.torture.kills import AFTER_READY_S, wait_until_ready, workers

# What a client may be told beside its caption: to come again, or by the kernel that nobody listens.
HARMLESS = ("200", "503 Restarting (Retry-After ", "503 Busy (Retry-After ", "refused")


def servers(run_dir: Path) -> dict[str, psutil.Process]:
    """The page and TorchServe of the launcher with this run folder."""
    found = {}
    mark = str(run_dir.resolve())
    for process in psutil.process_iter():
        try:
            command, folder = process.cmdline(), process.environ().get("CAPTIONIZE_RUN_DIR", "")
        except psutil.Error:
            continue
        if folder and str(Path(folder).resolve()) == mark:
            if command[-2:] == ["-m", "webui"]:
                found["page"] = process
            elif "org.pytorch.serve.ModelServer" in command:
                found["TorchServe"] = process
    return found


def restart(part: str, url: str, run_dir: Path) -> None:
    """Ask one part to stop, and wait until the launcher has it started again."""
    wait_until_ready(url)
    processes = servers(run_dir)
    process = workers(run_dir)[0] if part == "worker" else processes[part]
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    wait_until_ready(url)


def lost(clients: Clients) -> dict[str, int]:
    """The answers that nobody should get."""
    return {one: n for one, n in clients.answers.items() if not one.startswith(HARMLESS)}


def main() -> None:
    """Run it and print a line of figures for each part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(";")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--run-dir", type=Path, default=Path("run"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for part in ("page", "TorchServe", "worker"):
        with Clients(options.url, 8) as clients:
            for _ in range(options.rounds):
                time.sleep(AFTER_READY_S)
                restart(part, options.url, options.run_dir)
            time.sleep(AFTER_READY_S)
        print(f"{part}: {options.rounds} restarts, {dict(clients.answers)}, lost {lost(clients)}")


if __name__ == "__main__":
    main()
