"""The page as it is served, and the server over an application of the test's own."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
import requests
import uvicorn

from tests.webui.fake_torchserve import FakeTorchServe
from webui.server.bridge import WsgiApp
from webui.server.run import configuration

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 1024 * 1024


@dataclass
class Served:
    """A running page."""

    url: str
    process: subprocess.Popen[bytes]
    home: Path
    log: Path


def answered(client: socket.socket) -> tuple[int, bytes]:
    """Status and body of the next answer on a connection that stays open."""
    with http.client.HTTPResponse(client) as response:
        response.begin()
        return response.status, response.read()


@pytest.fixture
def served(
    torchserve: FakeTorchServe, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {
        **os.environ,
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "CAPTIONIZE_PORT": str(port),
        "CAPTIONIZE_INFERENCE_URL": torchserve.url,
        "CAPTIONIZE_MANAGEMENT_URL": torchserve.url,
        "CAPTIONIZE_KEY_FILE": str(torchserve.key_file),
        "CAPTIONIZE_MAX_UPLOAD_MB": "2",
    }
    environ.pop("XDG_RUNTIME_DIR", None)
    command = [sys.executable, "-m", "webui"]
    log = tmp_path_factory.mktemp("log") / "page.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stderr=output)
    served = Served(f"http://127.0.0.1:{port}", process, tmp_path, log)
    try:
        wait_until_alive(served)
        yield served
    finally:
        process.terminate()
        process.wait(30)


def wait_until_alive(served: Served) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{served.url}/healthz", timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError("the page did not answer within 30 s")


@pytest.fixture
def serving() -> Iterator[Callable[[WsgiApp], int]]:
    """A function that serves an application in this process; its port."""
    running: list[tuple[uvicorn.Server, Thread]] = []

    def serve(app: WsgiApp) -> int:
        config = configuration(app, LIMIT)
        server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        running.append((server, thread))
        return int(listener.getsockname()[1])

    yield serve
    for server, thread in running:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
