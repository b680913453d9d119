"""The application under the real gunicorn, with the configuration that serves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.webui.fake_torchserve import ANSWER, FakeTorchServe

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 1024 * 1024


@dataclass
class Served:
    """A running gunicorn."""

    url: str
    process: subprocess.Popen[bytes]
    home: Path
    log: Path


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
    command = [sys.executable, "-m", "gunicorn", "--config", "webui/gunicorn.conf.py"]
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
    raise AssertionError("gunicorn did not answer within 30 s")


def lines(served: Served) -> list[dict[str, Any]]:
    """What it has logged so far: one JSON object a line and nothing else."""
    return [json.loads(line) for line in served.log.read_text().splitlines()]


def post(served: Served, size: int) -> requests.Response:
    files = {"image": ("p.jpg", bytes(size))}
    return requests.post(f"{served.url}/api/captions", files=files, timeout=20)


def test_the_figures_are_kept_before_anybody_looks(
    served: Served, torchserve: FakeTorchServe
) -> None:
    deadline = time.monotonic() + 10
    while "/models/captioner/all" not in [seen.path for seen in torchserve.seen]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_captions_and_leaves_no_file(served: Served, torchserve: FakeTorchServe) -> None:
    before = sorted(served.home.iterdir())
    response = post(served, MEBIBYTE)
    assert (response.status_code, response.json()) == (200, ANSWER)
    assert sorted(served.home.iterdir()) == before == [torchserve.key_file]


def test_a_refused_upload_gets_to_see_why(served: Served) -> None:
    # Without reading on, the connection would be reset in the middle of these.
    for size in (3 * MEBIBYTE, 6 * MEBIBYTE):
        response = post(served, size)
        assert response.status_code == 413
        assert response.json()["type"] == "ImageTooLarge"


def test_a_body_of_unknown_length_is_limited_too(served: Served) -> None:
    boundary = "b"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n'

    def body() -> Iterator[bytes]:
        yield head.encode()
        for _ in range(5):
            yield bytes(MEBIBYTE)
        yield f"\r\n--{boundary}--\r\n".encode()

    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    response = requests.post(f"{served.url}/api/captions", data=body(), headers=headers, timeout=20)
    assert response.status_code == 413


def test_a_running_caption_is_finished_at_a_stop(
    served: Served, torchserve: FakeTorchServe
) -> None:
    torchserve.reply(200, ANSWER, wait=1)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, served, 1000)
        deadline = time.monotonic() + 10
        while not torchserve.predictions() and time.monotonic() < deadline:
            time.sleep(0.01)
        served.process.send_signal(signal.SIGTERM)
        assert answer.result(20).status_code == 200
    assert served.process.wait(20) == 0


def test_every_line_of_the_log_is_one_object(served: Served) -> None:
    headers = {"X-Request-ID": "a1", "User-Agent": "a-secret"}
    answer = requests.get(f"{served.url}/nothing?a-secret", headers=headers, timeout=20)
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (404, "a1")
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(20) == 0
    logged = lines(served)
    names = ("time", "level", "logger", "message")
    assert all(set(names) <= set(line) for line in logged)
    by_gunicorn = [line["message"] for line in logged if line["logger"] == "gunicorn.error"]
    assert any(message.startswith("Listening at: ") for message in by_gunicorn)
    assert {line["logger"] for line in logged} == {"gunicorn.error", "webui.telemetry.logs"}
    assert "a-secret" not in served.log.read_text()
    [request] = [line for line in logged if line["logger"] == "webui.telemetry.logs"]
    assert (request["route"], request["status"], request["request_id"]) == ("unmatched", 404, "a1")
