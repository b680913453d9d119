"""Nothing that a client chooses makes a key in memory without a bound."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.captions.uploading import post
from tests.webui.fake_torchserve import ANSWER, FakeTorchServe
from webui.administrator import auth
from webui.administrator.auth import Sessions
from webui.telemetry.metrics import Metrics
from webui.torchserve import startup
from webui.torchserve.startup import Startup
from webui.web.extensions import BoundedMemory, limiter
from webui.web.shared import Memory

ROUNDS = 30


def series(app: Flask) -> int:
    """How many series there are for Prometheus."""
    metrics: Metrics = app.extensions["metrics"]
    return sum(len(family.samples) for family in metrics.registry.collect())


def invented() -> str:
    return "".join(secrets.choice(string.ascii_uppercase) for _ in range(12))


def ask_for_everything(client: FlaskClient) -> None:
    """Send requests in which all that a client can choose is made up."""
    name = invented()
    headers = {
        "X-Request-ID": name,
        "Host": f"{name}.example",
        "User-Agent": name,
        "Authorization": f"Bearer {name}",
        name: name,
    }
    client.open(f"/{name}", method=name)
    client.open("/healthz", method=name, headers=headers)
    client.get(f"/{name}?{name}={name}", headers=headers)
    client.get(f"/static/{name}")
    client.get("/login", query_string={"back": name})
    client.get(f"/api/models/{name}/{name}", headers={"Authorization": f"Bearer {name}"})
    client.get(f"/api/jobs/{name}")
    client.post(f"/api/{name}", data=name, content_type=f"text/{name}")
    client.post("/api/votes", json={"left": name, "right": "1.0", "winner": "left", name: name})
    client.set_cookie("captionize", name)
    client.set_cookie(name, name)


def test_what_a_client_makes_up_makes_no_series(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe
) -> None:
    app = make_app(RATE_LIMIT="100000 per minute")
    client = app.test_client()

    def one_round() -> int:
        name = invented()
        unknown = {"code": 404, "type": "ModelVersionNotFoundException", "message": "None."}
        torchserve.reply(404, unknown)
        post(client, version=name)
        torchserve.reply(200, ANSWER)
        post(client, **{name: name})
        ask_for_everything(client)
        return series(app)

    for _ in range(6):  # until there were guesses enough for every kind of answer
        before = one_round()
    assert [one_round() for _ in range(ROUNDS)] == [before] * ROUNDS
    assert 'method="other"' in client.get("/metrics").text


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[BoundedMemory]:
    monkeypatch.setattr(BoundedMemory, "MOST", 20)
    storage = limiter.storage
    assert isinstance(storage, BoundedMemory)
    limiter.reset()
    yield storage
    limiter.reset()


def test_addresses_are_counted_up_to_a_bound(client: FlaskClient, storage: BoundedMemory) -> None:
    for number in range(100):
        client.environ_base["REMOTE_ADDR"] = f"10.0.0.{number}"
        client.post("/api/captions")
        assert len(storage.storage) <= 20
        assert len(storage.expirations) <= 20
        assert len(storage.locks) <= 21


def test_a_network_of_ipv6_is_one_client(
    make_app: Callable[..., Flask], storage: BoundedMemory
) -> None:
    client = make_app(RATE_LIMIT="2 per minute").test_client()
    codes = []
    for address in ("2001:db8::1", "2001:db8::2:3", "2001:db8::4", "2001:db8:0:1::1"):
        client.environ_base["REMOTE_ADDR"] = address
        codes.append(client.post("/api/captions").status_code)
    assert codes == [400, 400, 429, 400]


def test_sessions_are_bounded() -> None:
    sessions = Sessions(Memory())
    numbers = [sessions.begin() for _ in range(auth.SESSIONS + 5)]
    assert [sessions.lives(number) for number in numbers] == [False] * 5 + [True] * auth.SESSIONS


def test_of_a_long_log_only_the_end_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "TAIL_BYTES", 1000)
    log = tmp_path / "model_log.log"
    watched = Startup(log)
    log.write_text("W-9000 MODEL_LOG - ValueError: the first\n" + "x\n" * 1000)
    assert watched.last_error() is None
    with log.open("a") as more:
        more.write("W-9000 MODEL_LOG - ValueError: the last\n")
    assert watched.last_error() == "ValueError: the last"
