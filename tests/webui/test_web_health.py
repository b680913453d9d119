"""Liveness, readiness and metrics."""

from __future__ import annotations

import io

import pytest
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
    [seen] = torchserve.seen
    assert (seen.path, seen.headers["Authorization"]) == (
        "/models/captioner",
        "Bearer management-1",
    )


def test_not_ready_without_torchserve(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    torchserve.stop()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.get_json() == {"status": "not ready", "workers": 0, "reason": "CaptioningAway"}


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
