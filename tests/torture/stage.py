"""The service that is tortured: how it is started, asked, and searched for what it left over."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.e2e.conftest import Service
from tests.shipped import ARCHIVE
from tests.torture.clients import TIMEOUT_S, problem_of_error
from tests.torture.kills import wait_until_ready, workers
from tests.torture.restarts import servers
from tests.webui.administration import BEARER, TOKEN

PARTS = ("worker", "TorchServe", "page")
SECOND = "second.mar"  # the shipped captioner under another version
SECOND_VERSION = "second"
DISK = "64m"
QUIET_S = 30
BUSY_S = 300  # for what takes seconds on a machine that has nothing else to do
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")  # Debian's libfaketime


class Stage:
    """A service that is tortured, with an administrator."""

    def __init__(self, service: Service) -> None:
        self.service = service

    @property
    def url(self) -> str:
        return self.service.page_url

    def process(self, part: str) -> psutil.Process:
        """The page, TorchServe or the worker that was started last."""
        if part == "worker":
            return max(workers(self.service.run_dir), key=lambda one: one.create_time())
        return servers(self.service.run_dir)[part]

    def admin(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON of a call as the administrator. Raises ValueError for a wrong answer."""
        address = f"{self.url}/api{path}"
        answer = requests.request(method, address, json=body, headers=BEARER, timeout=TIMEOUT_S)
        if not answer.ok and (problem := problem_of_error(answer)):
            raise ValueError(f"{method} {path}: {problem}")
        return answer.status_code, answer.json() if answer.content else None

    def finished(self, job: dict[str, Any]) -> dict[str, Any]:
        """A job once it has ended."""
        give_up = time.monotonic() + BUSY_S
        while job["state"] == "running":
            if time.monotonic() > give_up:
                raise TimeoutError(f"a job does not end: {job}")
            time.sleep(0.2)
            job = self.admin("GET", f"/jobs/{job['id']}")[1]
        return job

    def megabytes(self, part: str) -> float:
        """The memory of a part."""
        return self.process(part).memory_info().rss / 2**20

    def files(self) -> dict[str, int]:
        """How many files and pipes each part has open, and how many connections."""
        found = {}
        for part in PARTS:
            folder = f"/proc/{self.process(part).pid}/fd"
            open_ = [os.readlink(f"{folder}/{one}") for one in os.listdir(folder)]
            found[f"connections of {part}"] = sum(one.startswith("socket:") for one in open_)
            found[f"files of {part}"] = len(open_) - found[f"connections of {part}"]
        return found

    def quiet(self) -> None:
        """Wait until it is ready and nobody is connected to the page."""
        wait_until_ready(self.url)
        port = int(self.url.rpartition(":")[2])
        give_up = time.monotonic() + QUIET_S
        while open_ := [
            one
            for one in self.process("page").net_connections()
            if one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED
        ]:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{len(open_)} connections are not closed")
            time.sleep(0.1)


class OwnStage(Stage):
    """A service in a folder of its own, with two versions to choose from.

    Its logs and state are on a small file system of their own, where one may be mounted.
    """

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self.store, self.scratch, self.small = (folder / n for n in ("store", "tmp", "run/logs"))
        for path in (self.store, self.scratch, self.small):
            path.mkdir(parents=True)
        (self.store / ARCHIVE.name).symlink_to(ARCHIVE)
        second_version(self.store / SECOND)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "torture", str(self.small)]
        self.no_disk = subprocess.run(mount, capture_output=True, text=True, check=False).stderr
        own = {
            "CAPTIONIZE_MODEL_STORE": str(self.store),
            "CAPTIONIZE_STATE_DIR": str(self.small / "state"),
            "CAPTIONIZE_ADMIN_TOKEN": TOKEN,
            "CAPTIONIZE_RATE_LIMIT": "100000 per minute",
            "TMPDIR": str(self.scratch),
            **environ,
        }
        super().__init__(Service(folder / "run", own, start_s=BUSY_S))

    def start(self) -> None:
        """Start it; ready at its end."""
        self.shared_memory = {*os.listdir("/dev/shm")}
        self.service.start()

    def stop(self) -> list[str]:
        """Stop it; what is left over."""
        status = self.service.stop()
        left = [f"exit status {status}"] if status else []
        mark = f"CAPTIONIZE_RUN_DIR={self.service.run_dir}\0".encode()
        for process in psutil.process_iter():
            try:
                if mark in Path(f"/proc/{process.pid}/environ").read_bytes():
                    left.append(f"the process {process.pid}: {process.cmdline()}")
            except (OSError, psutil.Error):
                continue
        expected = {"run": {"logs", "state"}, "tmp": set(), "store": {ARCHIVE.name, SECOND}}
        for name, known in expected.items():
            left += [f"{name}/{one}" for one in {*os.listdir(self.folder / name)} - known]
        left += [f"/dev/shm/{one}" for one in {*os.listdir("/dev/shm")} - self.shared_memory]
        left += [str(one) for one in self.small.rglob("*.new")]
        folder = os.open(self.service.run_dir, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left.append("the lock on the run folder")
        os.close(folder)
        return left

    def close(self) -> None:
        """Give the file system back, whatever happened."""
        running = getattr(self.service, "process", None)
        if running and running.poll() is None:
            self.service.stop()
        if not self.no_disk:
            subprocess.run(["umount", str(self.small)], check=True)


def stop_cleanly() -> None:
    """Have Ctrl-C and SIGTERM stop the service too, also of a process in the background."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: sys.exit("Stopped."))


def second_version(path: Path) -> None:
    """Write the shipped archive with another version."""
    with zipfile.ZipFile(ARCHIVE) as shipped, zipfile.ZipFile(path, "w") as archive:
        for item in shipped.infolist():
            data = shipped.read(item)
            if item.filename == "MAR-INF/MANIFEST.json":
                manifest = json.loads(data)
                manifest["model"]["modelVersion"] = SECOND_VERSION
                data = json.dumps(manifest).encode()
            archive.writestr(item, data)
