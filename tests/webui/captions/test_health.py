"""Liveness, readiness and metrics."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.captions.uploading import post
from tests.webui.fake_torchserve import FakeTorchServe
from webui.torchserve import pulse


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
    ping = ("/ping", "Bearer inference-2")
    worker = ("/models/captioner?customized=true", "Bearer management-1")
    assert asked[1:] == ([ping, worker] if ready else [])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "PATIENCE_S", 0.1)
    monkeypatch.setattr(pulse, "RECENT_S", 0.1)
    monkeypatch.setattr(pulse, "AGAIN_S", 0.0)


@pytest.mark.usefixtures("impatient")
def test_not_ready_while_no_worker_answers(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    torchserve.stuck = True
    response = client.get("/readyz")
    assert (response.status_code, response.get_json()["reason"]) == (503, "Stuck")
    assert "no answer within 0.1 s" in response.get_json()["message"]
    torchserve.stuck = False
    assert client.get("/readyz").status_code == 200


@pytest.mark.usefixtures("impatient")
def test_a_caption_shows_that_captions_come(
    client: FlaskClient, torchserve: FakeTorchServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "RECENT_S", 30.0)
    torchserve.stuck = True
    assert client.get("/readyz").status_code == 503
    torchserve.reply(422, {"code": 422, "type": "CorruptImage", "message": "Broken."})
    post(client)
    assert client.get("/readyz").status_code == 200


def test_a_worker_is_asked_now_and_then_only(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    for _ in range(3):
        assert client.get("/readyz").status_code == 200
    assert len([seen for seen in torchserve.seen if "customized" in seen.path]) == 1


def test_not_ready_without_torchserve(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    torchserve.stop()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.get_json() == {
        "status": "not ready",
        "workers": 0,
        "reason": "CaptioningAway",
        "message": "The captioning service cannot be reached. Try again in a minute.",
    }


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
