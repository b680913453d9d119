"""A real Redis of a test's own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

ADVICE = "needs the package redis and Debian's redis-server"
START_S = 10


@dataclass
class RedisServer:
    """One redis-server, which keeps nothing over a stop."""

    port: int
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it listens."""
        given = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(["redis-server", *given], stdout=subprocess.DEVNULL)
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise TimeoutError("redis-server does not listen")

    def stop(self) -> None:
        """End it, and what it held."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running() -> Iterator[RedisServer]:
    """One that runs; skips the test where there is none to start."""
    pytest.importorskip("redis", reason=ADVICE)
    if shutil.which("redis-server") is None:
        pytest.skip(ADVICE)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = RedisServer(probe.getsockname()[1])
    server.start()
    try:
        yield server
    finally:
        server.stop()
