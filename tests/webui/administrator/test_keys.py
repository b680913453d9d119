"""Keys: who is let in with what, how often, and what the administrator sees of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.administration import BEARER, TOKEN
from tests.webui.captions.uploading import post
from tests.webui.fake_torchserve import FakeTorchServe
from tests.webui.protocols.sending import BASE64, DATA_URI, chat, tensor
from webui import __main__ as door
from webui import admin
from webui.web import keys
from webui.web.settings import Settings

PHONE, SITE = keys.make(), keys.make()
KEYS = f"phone:{keys.digest(PHONE)}:2 per hour, site:{keys.digest(SITE)}"
ASKED = [
    ("/api/generate", {"model": "captioner", "images": [BASE64], "stream": False}),
    ("/api/show", {"model": "captioner"}),
    ("/v1/chat/completions", chat(DATA_URI)),
    ("/v2/models/captioner/infer", tensor(BASE64)),
]
READ = ["/api/tags", "/api/ps", "/api/version", "/v1/models", "/v2", "/v2/models/captioner"]


@pytest.fixture
def closed(make_app: Callable[..., Flask]) -> FlaskClient:
    """A client of an application with two keys, and none of its own."""
    return make_app(API_KEYS=KEYS, ADMIN_TOKEN=TOKEN).test_client()


def bearing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("headers", [{}, bearing("cap_wrong"), bearing(TOKEN), bearing("")])
def test_without_a_right_key_nothing_is_told(
    closed: FlaskClient, torchserve: FakeTorchServe, headers: dict[str, str]
) -> None:
    before = len(torchserve.seen)
    answers = [closed.post(path, json=body, headers=headers) for path, body in ASKED]
    answers += [closed.get(path, headers=headers) for path in READ]
    for answer in answers:
        assert answer.status_code == 401, answer.request.path
        assert "make-key" in answer.text
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for to in ("captions", "explanations"):
        assert post(closed, to=to).status_code == 401
    assert closed.post("/api/votes", json={}).status_code == 401
    assert len(torchserve.seen) == before


def test_a_key_opens_all_of_it(closed: FlaskClient) -> None:
    for path, body in ASKED:
        answer = closed.post(path, json=body, headers=bearing(SITE))
        assert answer.status_code == 200, answer.text
    for path in READ:
        assert closed.get(path, headers=bearing(SITE)).status_code == 200


def test_probes_and_the_list_of_versions_stay_open(closed: FlaskClient) -> None:
    for path in (
        "/healthz",
        "/health",
        "/v2/health/live",
        "/v2/health/ready",
        "/api/versions",
        "/",
    ):
        assert closed.get(path).status_code == 200


def test_the_page_s_visitors_come_in_by_their_session(closed: FlaskClient) -> None:
    assert closed.get("/").status_code == 200
    assert post(closed).status_code == 200
    # Only where the page sends pictures itself.
    for path, body in ASKED:
        assert closed.post(path, json=body).status_code == 401


def test_each_key_has_a_rate_of_its_own(closed: FlaskClient) -> None:
    path, body = ASKED[0]
    ends = [closed.post(path, json=body, headers=bearing(PHONE)).status_code for _ in range(3)]
    assert ends == [200, 200, 429]
    assert closed.post(path, json=body, headers=bearing(SITE)).status_code == 200


def test_the_administrator_sees_the_use_of_each_key(
    closed: FlaskClient, torchserve: FakeTorchServe
) -> None:
    path, body = ASKED[0]
    closed.post(path, json=body, headers=bearing(SITE))
    closed.post(path, json={}, headers=bearing(SITE))
    torchserve.reply(500, {})
    closed.post(path, json=body, headers=bearing(SITE))
    closed.post(path, json=body, headers=bearing("cap_wrong"))
    snapshot = closed.get("/api/operations", headers=BEARER).get_json()
    uses = {use["name"]: use for use in snapshot["keys"]}
    assert list(uses) == ["phone", "site", "(visitors)", "(refused)"]
    assert [uses["site"][what] for what in ("answered", "refused", "failed")] == [1, 1, 1]
    assert uses["site"]["last"].endswith("Z")
    assert uses["phone"]["last"] is None
    assert uses["(refused)"]["refused"] == 1
    counted = closed.get("/metrics").text
    assert 'captionize_key_requests_total{key="site",outcome="answered"} 1.0' in counted
    assert "cap_wrong" not in counted


def test_without_keys_any_key_will_do(client: FlaskClient, administrator: FlaskClient) -> None:
    path, body = ASKED[0]
    assert client.post(path, json=body, headers=bearing("sk-anything")).status_code == 200
    assert administrator.get("/api/operations").get_json()["keys"] == []


def test_the_command_makes_a_key_that_fits_its_hash() -> None:
    printed = CliRunner().invoke(admin.cli, ["make-key", "phone"]).output
    key, entry = re.findall(r": (cap_\S{43}|phone:\w{64})$", printed, re.MULTILINE)
    (made,) = keys.parse(entry)
    assert keys.find([made], key) == made
    refused = CliRunner().invoke(admin.cli, ["make-key", "my phone"])
    assert refused.exit_code == 1
    assert "Expected a name" in refused.output


def test_all_hashes_are_compared_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def compare(left: str, right: str) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(keys.hmac, "compare_digest", compare)
    known = keys.parse(KEYS)
    assert keys.find(known, PHONE) == known[0]
    assert [left for left, _ in compared] == [one.digest for one in known]


@pytest.mark.parametrize(
    "value",
    [
        "phone",
        "phone:abc",
        f"my phone:{'0' * 64}",
        f"phone:{'0' * 64}:often",
        f"phone:{'0' * 64}, phone:{'1' * 64}",
        f"phone:{'0' * 64},",
        7,
    ],
)
def test_a_wrong_list_of_keys_is_refused_without_telling_it(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^CAPTIONIZE_API_KEYS: expected NAME:HASH") as caught:
        Settings.from_config({"API_KEYS": value})
    assert "000" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "given", "warns"),
    [("127.0.0.1", "", False), ("::1", "", False), ("0.0.0.0", "", True), ("0.0.0.0", KEYS, False)],
)
def test_a_service_that_is_open_to_a_network_warns(host: str, given: str, warns: bool) -> None:
    settings = Settings.from_config({"HOST": host, "API_KEYS": given})
    assert ("CAPTIONIZE_API_KEYS" in settings.open_to_all) is warns


def test_the_start_warns_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CAPTIONIZE_HOST", "0.0.0.0")
    for name in ("listen", "start_threads", "serve"):
        monkeypatch.setattr(door, name, lambda *_: None)
    monkeypatch.setattr(door.logging.config, "dictConfig", lambda _: None)
    assert door.main() == 0
    assert [one.levelname for one in caplog.records if "API_KEYS" in one.message] == ["WARNING"]
