"""What the serving benchmark sends requests to: Captionize itself and its peers, as processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
START_S = 120
PORTS = (
    "CAPTIONIZE_PORT",
    "CAPTIONIZE_INFERENCE_PORT",
    "CAPTIONIZE_MANAGEMENT_PORT",
    "CAPTIONIZE_METRICS_PORT",
    "CAPTIONIZE_GRPC_INFERENCE_PORT",
    "CAPTIONIZE_GRPC_MANAGEMENT_PORT",
)


class BenchmarkError(RuntimeError):
    """What is measured cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Load:
    """What a number of clients got, each sending its next picture when the last is answered."""

    requests: int
    seconds: float
    refused: int  # answers of 400 and above
    failed: int  # connections that broke or timed out
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Captions per second: what was refused is none."""
        return (self.requests - self.refused) / self.seconds

    @property
    def refused_percent(self) -> float:
        """Of all answers."""
        return 100 * self.refused / max(self.requests, 1)


@dataclass(frozen=True)
class Target:
    """Where captions are had, and in what form pictures are sent there."""

    url: str
    path: str
    headers: Mapping[str, str]

    def crowd(self, python: Path, clients: int, seconds: float, picture: Path) -> Load:
        """Let clients send a picture that wait a second when they are refused.

        Args:
            python: of the peers' environment.

        Raises:
            BenchmarkError: the clients fail altogether.
        """
        command = [
            *(str(python), "-m", "benchmarks.peers.crowd", self.url, self.path),
            *(json.dumps(dict(self.headers)), str(picture)),
            *("--clients", str(clients), "--seconds", str(seconds)),
        ]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if result.returncode:
            raise BenchmarkError(f"The clients failed: {result.stderr.strip()[-500:]}")
        return Load(**json.loads(result.stdout))

    def load(self, clients: int, seconds: float, bodies: Sequence[Path]) -> Load:
        """Let ``wrk`` send the bodies in turn for some seconds.

        Raises:
            BenchmarkError: wrk is not installed, or reports nothing.
        """
        if not shutil.which("wrk"):
            raise BenchmarkError("wrk is not installed. On Debian or Ubuntu: sudo apt install wrk")
        lines = "\n".join(f"{name}: {value}" for name, value in self.headers.items())
        command = [
            *("wrk", "--threads", "1", "--connections", str(clients)),
            *("--duration", f"{seconds:.0f}s", "--timeout", "60s"),
            *("--script", str(Path(__file__).with_name("load.lua")), self.url),
            *("--", self.path, lines, *map(str, bodies)),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        report = next((line for line in result.stdout.splitlines() if line.startswith("{")), None)
        if result.returncode or report is None:
            raise BenchmarkError(f"wrk failed: {result.stderr.strip() or result.stdout.strip()}")
        return Load(**json.loads(report))


def multipart(target: Target, pictures: Sequence[Path], folder: Path) -> tuple[Target, list[Path]]:
    """The same target with each picture as the form field ``image``."""
    boundary = "captionize-benchmark"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode()
    bodies = []
    for picture in pictures:
        body = folder / f"{picture.stem}.form"
        body.write_bytes(head + picture.read_bytes() + f"\r\n--{boundary}--\r\n".encode())
        bodies.append(body)
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return Target(target.url, target.path, {**target.headers, **kind}), bodies


@dataclass(frozen=True)
class Captionize:
    """The whole service, running."""

    inference: Target
    page: Target
    processes: psutil.Process
    seconds_to_ready: float

    def worker_mib(self) -> float:
        """Resident memory of the largest Python worker of TorchServe, in MiB."""
        workers = [
            process.memory_info().rss
            for process in self.processes.children(recursive=True)
            if any("model_service_worker" in word for word in process.cmdline())
        ]
        return max(workers) / 2**20

    def core_seconds(self) -> float:
        """Processor time that the service has taken so far, all its processes together."""
        family = [self.processes, *self.processes.children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in family)


@contextlib.contextmanager
def captionize(**variables: str) -> Iterator[Captionize]:
    """Start the service as ``make serve`` does, on free ports, with logs of its own.

    Args:
        variables: of the environment, over what it would be.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        ports = dict(zip(PORTS, map(str, _free_ports(len(PORTS))), strict=True))
        environ = {**os.environ, **ports, "CAPTIONIZE_RUN_DIR": str(run), **variables}
        environ["CAPTIONIZE_RATE_LIMIT"] = "1000000 per second"
        started = time.perf_counter()
        with _running([sys.executable, "-m", "webui.serve"], environ, "Captionize is ready") as one:
            ready = time.perf_counter() - started
            keys = json.loads((run / "key_file.json").read_text(encoding="utf-8"))
            authority = {
                "Authorization": f"Bearer {keys['inference']['key']}",
                "Content-Type": "image/jpeg",
            }
            yield Captionize(
                Target(
                    f"http://127.0.0.1:{ports['CAPTIONIZE_INFERENCE_PORT']}",
                    "/predictions/captioner",
                    authority,
                ),
                Target(f"http://127.0.0.1:{ports['CAPTIONIZE_PORT']}", "/api/captions", {}),
                psutil.Process(one.pid),
                ready,
            )


@contextlib.contextmanager
def peer(python: Path, name: str, *options: str) -> Iterator[Target]:
    """Start ``benchmarks.peers.NAME`` in the peers' environment."""
    (port,) = _free_ports(1)
    command = [str(python), "-m", f"benchmarks.peers.{name}", "--port", str(port), *options]
    with _running(command, dict(os.environ), "ready"):
        _wait_for(port)  # some are ready before they listen
        yield Target(f"http://127.0.0.1:{port}", "/caption", {"Content-Type": "image/jpeg"})


@contextlib.contextmanager
def _running(
    command: Sequence[str], environ: Mapping[str, str], ready: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program from when it prints a line that begins with ``ready``."""
    with tempfile.NamedTemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            give_up = time.monotonic() + START_S
            while True:
                said = Path(output.name).read_text(encoding="utf-8", errors="replace")
                if any(line.startswith(ready) for line in said.splitlines()):
                    break
                if process.poll() is not None or time.monotonic() > give_up:
                    raise BenchmarkError(f"{' '.join(command)} does not start:\n{said[-2000:]}")
                time.sleep(0.05)
            yield process
        finally:
            children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()


def _wait_for(port: int) -> None:
    """Wait until something listens on a port of this machine."""
    give_up = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError as error:
            if time.monotonic() > give_up:
                raise BenchmarkError(f"Nothing listens on port {port}.") from error
            time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
