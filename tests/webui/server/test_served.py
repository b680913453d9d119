"""The page as it is served: the real server over a fake TorchServe."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from urllib3 import encode_multipart_formdata

from tests.webui.fake_torchserve import ANSWER, FakeTorchServe
from tests.webui.server.conftest import Served, answered

MEBIBYTE = 1024 * 1024
CLIENT = "127.0.0.2"  # an address that is not the server's own


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


def test_at_a_stop_nothing_new_is_taken_and_what_is_on_its_way_is_answered(
    served: Served,
) -> None:
    address = ("127.0.0.1", int(served.url.rpartition(":")[2]))
    body, content_type = encode_multipart_formdata({"image": ("p.jpg", bytes(1000))})
    lines = ("POST /api/captions HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}")
    request = "\r\n".join((*lines, f"Content-Length: {len(body)}", "\r\n")).encode() + body
    with (
        socket.create_connection(address, timeout=20) as halfway,
        socket.create_connection(address, timeout=20) as late,
    ):
        halfway.sendall(request[:700])
        assert requests.get(f"{served.url}/healthz", timeout=5).ok, "both are accepted by now"
        served.process.send_signal(signal.SIGTERM)
        late.sendall(request)
        assert answered(late)[0] == 200
        wait_until_refused(address)
        halfway.sendall(request[700:])
        assert answered(halfway)[0] == 200
    assert served.process.wait(20) == 0


def wait_until_refused(address: tuple[str, int]) -> None:
    deadline = time.monotonic() + 10
    with contextlib.suppress(ConnectionRefusedError):
        while time.monotonic() < deadline:
            socket.create_connection(address, timeout=5).close()
            time.sleep(0.02)  # thousands of them would make the oldest give way
        raise AssertionError("it still accepts connections")


def test_every_line_of_the_log_is_one_object(served: Served) -> None:
    headers = {"X-Request-ID": "a1", "User-Agent": "a-secret"}
    answer = requests.get(f"{served.url}/nothing?a-secret", headers=headers, timeout=20)
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (404, "a1")
    port = int(served.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 20, (CLIENT, 0)) as client:
        client.sendall(b"no HTTP\r\n\r\n")
        assert answered(client)[0] == 400
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(20) == 0
    logged = lines(served)
    names = ("time", "level", "logger", "message")
    assert all(set(names) <= set(line) for line in logged)
    by_server = [line["message"] for line in logged if line["logger"] == "webui.server.run"]
    assert any(message.startswith("Listening at 127.0.0.1 port ") for message in by_server)
    assert {line["logger"] for line in logged} == {
        "uvicorn.error",
        "webui.server.run",
        "webui.telemetry.logs",
    }
    text = served.log.read_text()
    assert "Invalid HTTP request received." in text
    assert "a-secret" not in text
    assert CLIENT not in text
    [request] = [line for line in logged if line["logger"] == "webui.telemetry.logs"]
    assert (request["route"], request["status"], request["request_id"]) == ("unmatched", 404, "a1")
