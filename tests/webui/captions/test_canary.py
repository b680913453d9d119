"""The canary and the votes: who gets which version, and what is counted."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.webui.administration import BEARER, TOKEN, check
from tests.webui.fake_management import FakeVersion
from tests.webui.fake_torchserve import ANSWER, FakeTorchServe
from webui.captions import captioning
from webui.captions.uploads import Upload

SECOND = "/predictions/captioner/2.0"
DEFAULT = "/predictions/captioner"


@pytest.fixture
def app(make_app: Callable[..., Flask], torchserve: FakeTorchServe) -> Flask:
    torchserve.models.versions["captioner"]["2.0"] = FakeVersion("second.mar", ["READY"])
    return make_app(ADMIN_TOKEN=TOKEN)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def turn_on(client: FlaskClient, share: float) -> None:
    body = {"version": "2.0", "share": share}
    response = client.put("/api/canary", json=body, headers=BEARER)
    assert response.status_code == 200, response.get_json()
    assert (response.get_json()["version"], response.get_json()["share"]) == ("2.0", share)


def caption(client: FlaskClient) -> TestResponse:
    return client.post("/api/captions", data={"image": (io.BytesIO(b"x"), "p.jpg")})


def paths(torchserve: FakeTorchServe) -> list[str]:
    return [seen.path for seen in torchserve.predictions()]


def test_it_is_off_at_first(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    now = client.get("/api/canary", headers=BEARER).get_json()
    assert (now["model"], now["version"], now["share"]) == ("captioner", None, 0)
    assert [one["version"] for one in now["compared"]] == ["1.0"]
    before = len(torchserve.seen)
    for _ in range(5):
        caption(client)
    assert [seen.path for seen in torchserve.seen[before:]] == [DEFAULT] * 5


def test_programs_are_drawn_for_each_request(
    app: Flask, torchserve: FakeTorchServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(app.test_client(), 0.25)
    draws = iter([0.1, 0.9, 0.2, 0.3])
    monkeypatch.setattr(captioning.random, "random", lambda: next(draws))
    for _ in range(4):
        assert caption(app.test_client()).status_code == 200
    assert paths(torchserve) == [SECOND, DEFAULT, SECOND, DEFAULT]


def test_a_visitor_keeps_to_one_version(
    app: Flask, torchserve: FakeTorchServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(app.test_client(), 0.25)
    monkeypatch.setattr(captioning.random, "random", lambda: 0.2)
    visitor = app.test_client()
    visitor.get("/")
    monkeypatch.setattr(captioning.random, "random", lambda: 0.9)
    visitor.get("/")
    other = app.test_client()
    other.get("/")
    for client in (visitor, other, visitor, other):
        caption(client)
    assert paths(torchserve) == [SECOND, DEFAULT, SECOND, DEFAULT]
    turn_on(app.test_client(), 0.1)
    caption(visitor)
    assert paths(torchserve)[-1] == DEFAULT


@pytest.mark.parametrize("states", [None, [], ["UNLOADING"]])
def test_a_canary_that_cannot_sing_is_passed_over(
    app: Flask, client: FlaskClient, torchserve: FakeTorchServe, states: list[str] | None
) -> None:
    turn_on(client, 1)
    versions = torchserve.models.versions["captioner"]
    if states is None:
        del versions["2.0"]
    else:
        versions["2.0"].states = states
    app.extensions["known"].forget()
    assert caption(client).status_code == 200
    assert paths(torchserve) == [DEFAULT]


@pytest.mark.parametrize("status", [404, 503])
def test_what_the_canary_cannot_do_the_default_does(
    client: FlaskClient, torchserve: FakeTorchServe, status: int
) -> None:
    turn_on(client, 1)
    torchserve.reply(status, {"code": status, "type": "X", "message": "gone"})
    assert caption(client).status_code == 200
    assert paths(torchserve) == [SECOND, DEFAULT]


def test_a_bad_picture_is_not_tried_again(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    turn_on(client, 1)
    torchserve.reply(422, {"code": 422, "type": "CorruptImage", "message": "Broken."})
    assert caption(client).status_code == 422
    assert paths(torchserve) == [SECOND]


def compared(client: FlaskClient) -> list[tuple[str, int, int]]:
    """Version, captions and errors of each version that is compared."""
    rows = client.get("/api/canary", headers=BEARER).get_json()["compared"]
    return [(one["version"], one["captions"], one["errors"]) for one in rows]


def test_the_two_are_counted_side_by_side(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    turn_on(client, 1e-9)
    torchserve.reply(200, ANSWER)
    torchserve.reply(500, {"code": 500, "type": "X", "message": "Broken."})
    torchserve.reply(422, {"code": 422, "type": "CorruptImage", "message": "Broken."})
    client.get("/api/versions")
    for _ in range(3):
        caption(client)
    turn_on(client, 1)
    for _ in range(4):
        caption(client)
    assert compared(client) == [("1.0", 1, 1), ("2.0", 4, 0)]
    for one in client.get("/api/canary", headers=BEARER).get_json()["compared"]:
        assert 0 <= one["p50_ms"] <= one["p95_ms"] < 5000
    text = client.get("/metrics").text
    assert 'captionize_captions_total{outcome="captioned",version="2.0"} 4.0' in text
    assert 'captionize_captions_total{outcome="failed",version="1.0"} 1.0' in text
    assert 'captionize_captions_total{outcome="refused",version="1.0"} 1.0' in text
    assert 'captionize_caption_seconds_count{version="2.0"} 4.0' in text


def test_its_figures_begin_when_it_began(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    torchserve.reply(500, {"code": 500, "type": "X", "message": "Broken."})
    client.get("/api/versions")
    for _ in range(3):
        caption(client)
    vote(client, left="1.0", right="2.0", winner="left")
    assert compared(client) == [("1.0", 2, 1)]
    turn_on(client, 1)
    assert compared(client) == [("1.0", 0, 0), ("2.0", 0, 0)]
    now = client.get("/api/canary", headers=BEARER).get_json()
    assert [one["p50_ms"] for one in now["compared"]] == [None, None]
    assert [one["votes"]["won"] for one in now["compared"]] == [0, 0]
    caption(client)
    turn_on(client, 0.5)  # another share is the same canary
    client.delete("/api/canary", headers=BEARER)
    assert compared(client) == [("1.0", 0, 0)]
    turn_on(client, 1)
    caption(client)
    assert compared(client) == [("1.0", 0, 0), ("2.0", 1, 0)]
    assert 'version="2.0"} 2.0' in client.get("/metrics").text, "Prometheus's go on"
    assert now["since"].endswith("Z")


def test_an_asked_version_gets_all_and_makes_no_series_of_its_own(app: Flask) -> None:
    turn_on(app.test_client(), 1)
    with app.test_request_context():
        captioning.caption_upload(Upload(b"x", {}, "1.0"))
    text = app.test_client().get("/metrics").text
    assert 'captionize_captions_total{outcome="captioned",version="1.0"} 1.0' in text
    own = app.extensions["canary"]
    assert (own._label("1.0"), own._label(None), own._label("made-up")) == ("1.0", "1.0", "unknown")


def test_the_default_is_no_canary(client: FlaskClient) -> None:
    response = client.put("/api/canary", json={"version": "1.0", "share": 0.5}, headers=BEARER)
    check(response, 409, "DefaultVersion")


def test_it_is_turned_off(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    turn_on(client, 1)
    response = client.delete("/api/canary", headers=BEARER)
    assert (response.get_json()["version"], response.get_json()["share"]) == (None, 0)
    turn_on(client, 1)
    assert client.delete("/api/models/captioner/2.0", headers=BEARER).status_code == 204
    assert client.get("/api/canary", headers=BEARER).get_json()["version"] is None
    caption(client)
    assert paths(torchserve) == [DEFAULT]


def vote(client: FlaskClient, **body: object) -> TestResponse:
    return client.post("/api/votes", json=body)


def test_votes_are_counted(client: FlaskClient) -> None:
    turn_on(client, 0.5)
    for left, right, winner in [
        ("1.0", "2.0", "left"),
        ("2.0", "1.0", "left"),
        ("2.0", "1.0", "left"),
        ("1.0", "2.0", "tie"),
    ]:
        assert vote(client, left=left, right=right, winner=winner).status_code == 204
    first, second = client.get("/api/canary", headers=BEARER).get_json()["compared"]
    assert first["votes"] == {"won": 1, "lost": 2, "tied": 1}
    assert second["votes"] == {"won": 2, "lost": 1, "tied": 1}
    assert 'captionize_votes_total{outcome="won",version="2.0"} 2.0' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"left": "1.0", "right": "2.0", "winner": "both"}, 400, "left, right or tie"),
        ({"left": "1.0", "right": "1.0", "winner": "tie"}, 400, "twice"),
        ({"left": "1.0", "right": 2, "winner": "tie"}, 400, "a text for right"),
        ({"left": "1.0", "right": "9", "winner": "tie"}, 404, "got '9'"),
        ({}, 400, "a text for left"),
    ],
)
def test_a_vote_on_nothing_is_refused(
    client: FlaskClient, body: dict[str, object], code: int, message: str
) -> None:
    response = vote(client, **body)
    assert response.status_code == code
    assert message in response.get_json()["message"]
    assert "captionize_votes_total{" not in client.get("/metrics").text


def test_a_form_of_another_site_is_no_vote(client: FlaskClient) -> None:
    data = '{"left": "1.0", "right": "2.0", "winner": "tie"}'
    response = client.post("/api/votes", data=data, content_type="text/plain")
    check(response, 400, "BadBody", "application/json")
