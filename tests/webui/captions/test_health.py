"""Liveness, readiness and metrics."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.fake_torchserve import FakeTorchServe


def test_alive_without_torchserve(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    torchserve.stop()
    response = client.get("/healthz")
    assert (response.status_code, response.get_json()) == (200, {"status": "alive"})


@pytest.mark.parametrize(
    ("states", "code", "ready"),
    [
        (["READY"], 200, 1),
        (["UNLOADING", "READY", "READY"], 200, 2),
        (["UNLOADING"], 503, 0),
        ([], 503, 0),
    ],
)
def test_ready_is_a_ready_worker(
    client: FlaskClient, torchserve: FakeTorchServe, states: list[str], code: int, ready: int
) -> None:
    torchserve.worker_states = states
    response = client.get("/readyz")
    assert (response.status_code, response.get_json()["workers"]) == (code, ready)
    asked = [(seen.path, seen.headers["Authorization"]) for seen in torchserve.seen]
    assert asked[0] == ("/models/captioner", "Bearer management-1")
    assert asked[1:] == ([("/ping", "Bearer inference-2")] if ready else [])


def test_not_ready_without_torchserve(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    torchserve.stop()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.get_json() == {"status": "not ready", "workers": 0, "reason": "CaptioningAway"}


def test_not_ready_while_the_inference_address_is_away(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe
) -> None:
    client = make_app(INFERENCE_URL="http://127.0.0.1:9").test_client()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.get_json()["reason"] == "CaptioningAway"
    assert [seen.path for seen in torchserve.seen] == ["/models/captioner"]


def test_not_ready_while_no_key_is_accepted_for_captions(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.keys["inference"] = "another"
    response = client.get("/readyz")
    assert (response.status_code, response.get_json()["reason"]) == (503, "CaptioningAway")


def test_requests_are_counted_by_route_and_status(client: FlaskClient) -> None:
    client.post("/api/captions", data={"image": (io.BytesIO(b"x"), "p.jpg")})
    client.post("/api/captions")
    client.get("/nothing/1")
    client.get("/nothing/2")
    text = client.get("/metrics").text
    count = 'captionize_web_requests_total{method="%s",route="%s",status="%s"} %s.0'
    assert count % ("POST", "/api/captions", 200, 1) in text
    assert count % ("POST", "/api/captions", 400, 1) in text
    assert count % ("GET", "unmatched", 404, 2) in text
    assert 'captionize_web_request_seconds_count{route="/api/captions"} 2.0' in text
