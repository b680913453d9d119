"""The whole service over HTTP: captions, errors, recovery, starting and stopping."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from skimage import data

from tests.e2e.client import COFFEE, TIMEOUT_S, Client, jpeg
from tests.e2e.conftest import Service, wait_for
from tests.shipped import VERSION

ROOT = Path(__file__).resolve().parents[3]
MIB = 2**20


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and then has almost nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


PICTURES = [COFFEE, jpeg(data.astronaut()), jpeg(data.chelsea())]

# Every way of the error table in which one request can be bad: its code, and how it is sent.
BAD: list[tuple[int, dict[str, Any]]] = [
    (400, {"data": b"", "headers": {"Content-Type": "image/jpeg"}}),
    (400, {"files": {"other": ("a.jpg", COFFEE, "image/jpeg")}}),
    (400, {"data": COFFEE, "headers": {"X-Beam-Size": "9"}}),
    (400, {"data": COFFEE, "headers": {"X-Max-Length": "many"}}),
    (400, {"files": {"data": ("a.jpg", COFFEE)}, "data": {"num_captions": "0"}}),
    (413, {"data": b"\xff\xd8\xff" + bytes(16 * MIB)}),
    (415, {"data": b"this is no picture", "headers": {"Content-Type": "text/plain"}}),
    (415, {"data": b"P6 1 1 255 abc"}),
    (422, {"data": COFFEE[: len(COFFEE) // 3]}),
    (422, {"data": png_header(20_000, 20_000)}),
]


@pytest.fixture
def client(service: Service) -> Client:
    return Client(service)


def check_captions(answer: dict[str, Any], count: int) -> None:
    assert len(answer["captions"]) == count
    assert answer["caption"] == answer["captions"][0]["caption"]
    for caption in answer["captions"]:
        assert caption["caption"].strip()
        assert caption["words"]
        assert all(0 <= word["probability"] <= 1 for word in caption["words"])
        assert 0 <= caption["confidence"] <= 1
        assert caption["log_probability"] <= 0


def check_error(response: requests.Response, code: int) -> None:
    error = response.json()
    assert (response.status_code, error["code"]) == (code, code), error
    assert set(error) == {"code", "type", "message"}
    assert error["message"].endswith(".")
    assert "Traceback" not in error["message"]
    assert "/" not in error["type"]


def test_raw_body(client: Client) -> None:
    response = client.predict(
        data=COFFEE,
        headers={"Content-Type": "image/jpeg", "X-Beam-Size": "4", "X-Num-Captions": "2"},
    )
    assert response.status_code == 200, response.text
    check_captions(response.json(), 2)
    assert response.json()["image"] == {"width": 600, "height": 400, "format": "JPEG"}
    assert response.json()["model"] == {"name": "captioner", "version": VERSION}


def test_multipart_is_the_same_as_raw(client: Client) -> None:
    options = {"beam_size": "4", "num_captions": "4", "max_length": "5"}
    form = client.predict(files={"data": ("a.jpg", COFFEE, "image/jpeg")}, data=options)
    headers = {f"X-{name.replace('_', '-')}": value for name, value in options.items()}
    raw = client.predict(data=COFFEE, headers=headers)
    check_captions(form.json(), 4)
    assert all(len(caption["words"]) <= 5 for caption in form.json()["captions"])
    assert form.json() == raw.json()


def test_page_api(service: Service, client: Client) -> None:
    response = requests.post(
        f"{service.page_url}/api/captions",
        files={"image": ("a.jpg", COFFEE, "image/jpeg")},
        data={"beam_size": "4", "num_captions": "2"},
        timeout=TIMEOUT_S,
    )
    assert response.status_code == 200, response.text
    direct = client.predict(data=COFFEE, headers={"X-Beam-Size": "4", "X-Num-Captions": "2"})
    assert response.json() == direct.json()


def test_explanations(client: Client) -> None:
    response = client.predict("explanations", data=COFFEE, headers={"X-Num-Captions": "1"})
    assert response.status_code == 200, response.text
    check_captions(response.json(), 1)
    for word in response.json()["captions"][0]["words"]:
        grid = word["attention"]
        assert len(grid["weights"]) == grid["rows"] * grid["columns"]
        assert sum(grid["weights"]) == pytest.approx(1, abs=0.01)


def test_describe(client: Client) -> None:
    (model,) = client.manage("GET", "/models/captioner?customized=true").json()
    assert {"image_size", "vocabulary_size", "grid", "device"} <= set(model["customizedMetadata"])


def test_a_bad_request_fails_alone(client: Client) -> None:
    before = client.worker()["pid"]
    numbers = range(200)
    bad = {number: BAD[number // 5 % len(BAD)] for number in numbers if number % 5 == 0}

    def send(number: int) -> requests.Response:
        if number in bad:
            return client.predict(**{**bad[number][1]})
        picture = PICTURES[number % len(PICTURES)]
        body = {"files": {"data": ("a.jpg", picture)}} if number % 2 else {"data": picture}
        return client.predict(**body)

    with ThreadPoolExecutor(25) as senders:
        answers = list(senders.map(send, numbers))
    for number, answer in zip(numbers, answers, strict=True):
        if number in bad:
            check_error(answer, bad[number][0])
        else:
            assert answer.status_code == 200, answer.text
            check_captions(answer.json(), len(answer.json()["captions"]))
    assert client.worker()["pid"] == before


def test_a_body_over_torchserve_s_limit(client: Client) -> None:
    assert client.predict(data=bytes(21 * MIB)).status_code == 413


def test_no_token_no_answer(service: Service) -> None:
    for method, url in [
        ("POST", f"{service.inference_url}/predictions/captioner"),
        ("GET", f"{service.inference_url}/ping"),
        ("GET", f"{service.management_url}/models"),
        ("DELETE", f"{service.management_url}/models/captioner/{VERSION}"),
    ]:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            response = requests.request(method, url, headers=headers, timeout=TIMEOUT_S)
            assert response.json()["type"] == "InvalidKeyException", url
            assert response.status_code == 400


@pytest.mark.parametrize("url", ["https://models.invalid/a.mar", "file:///etc/hostname"])
def test_only_the_model_store_is_loaded(client: Client, url: str) -> None:
    response = client.manage("POST", f"/models?url={url}")
    assert response.status_code == 404
    assert "does not match any allowed URL" in response.json()["message"]


def test_metrics(service: Service, client: Client) -> None:
    client.predict(data=COFFEE)
    text = requests.get(f"{service.metrics_url}/metrics", timeout=TIMEOUT_S).text
    assert 'ts_inference_requests_total{model_name="captioner"' in text


@pytest.mark.slow
def test_a_worker_that_is_stuck_is_not_ready(service: Service, client: Client) -> None:
    wait_for(lambda: client.readyz() == 200, 60)
    pid = client.worker()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: client.readyz() == 503, 30)
        ready = requests.get(f"{service.page_url}/readyz", timeout=TIMEOUT_S).json()
        assert ready["reason"] == "Stuck"
        assert client.worker()["status"] == "READY", "as TorchServe has it"
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: client.readyz() == 200, 30)


def test_the_command_captions_by_the_service(service: Service, tmp_path: Path) -> None:
    (tmp_path / "coffee.jpg").write_bytes(COFFEE)
    (tmp_path / "none.jpg").write_bytes(b"no picture")
    words = ["captionize", ".", "--server", service.page_url, "--format", "jsonl"]
    code = "import sys, captionize; captionize.main(); print('torch' in sys.modules)"
    asked = [sys.executable, "-c", f"import sys; sys.argv = {words}; {code}"]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(asked, cwd=tmp_path, env=environ, capture_output=True, text=True)
    first, second, torch = done.stdout.splitlines()
    answer = requests.post(
        f"{service.page_url}/api/captions",
        files={"image": COFFEE},
        data={"num_captions": 1},
        timeout=TIMEOUT_S,
    ).json()
    assert json.loads(first)["captions"][0]["caption"] == answer["caption"]
    assert json.loads(second)["captions"] == []
    assert torch == "False"  # whoever has a service waits for no model
    assert "none.jpg: A JPEG" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("1 failed")
