"""Reverse proxies in front: whose word counts, and who is counted as whom."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.administration import HASH, TOKEN, form_token, log_in

MakeApp = Callable[..., Flask]

HINT = "CAPTIONIZE_PROXIES counts none"
VISITOR = "203.0.113.9"


def through(client: FlaskClient, visitor: str, peer: str = "172.18.0.5") -> FlaskClient:
    """The client as one visitor whose requests a proxy passes on."""
    client.environ_base["REMOTE_ADDR"] = peer
    client.environ_base["HTTP_X_FORWARDED_FOR"] = visitor
    return client


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("203.0.113.9", "203.0.113.10"),
        ("198.51.100.1, 203.0.113.9", "198.51.100.1, 203.0.113.10"),  # only the last is the proxy's
        ("2001:db8:1::1", "2001:db8:2::1"),
        ("[2001:db8:1::1]:5000", "[2001:db8:2::1]:5000"),
        ("203.0.113.9:5000", "203.0.113.10:5000"),
    ],
)
def test_one_visitor_s_wrong_passwords_lock_nobody_else_out(
    make_app: MakeApp, first: str, second: str
) -> None:
    app = make_app(ADMIN_PASSWORD_HASH=HASH, PROXIES=1)
    guesser = through(app.test_client(), first)
    assert [log_in(guesser, "a guess").status_code for _ in range(6)] == [401] * 5 + [429]
    assert log_in(through(app.test_client(), second)).status_code == 303
    assert log_in(through(app.test_client(), first)).status_code == 429


@pytest.mark.parametrize("visitor", ["203.0.113.9:{}", "[2001:db8::{}]:80", "::ffff:203.0.113.9"])
def test_a_port_beside_the_address_makes_no_other_visitor(make_app: MakeApp, visitor: str) -> None:
    app = make_app(ADMIN_PASSWORD_HASH=HASH, PROXIES=1, RATE_LIMIT="2 per minute")
    codes, uploads = [], []
    for number in range(6):
        client = through(app.test_client(), visitor.format(number + 1))
        codes.append(log_in(client, "a guess").status_code)
        uploads.append(client.post("/api/captions").status_code)
    assert codes == [401] * 5 + [429]
    assert uploads == [400] * 2 + [429] * 4


def test_who_is_no_address_is_counted_too(make_app: MakeApp) -> None:
    app = make_app(ADMIN_PASSWORD_HASH=HASH, PROXIES=1)
    for visitor in ("unknown", "_hidden", "[::", "203.0.113.9:x"):
        client = through(app.test_client(), visitor)
        assert [log_in(client, "a guess").status_code for _ in range(6)] == [401] * 5 + [429]


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "10.1.2.3", "172.18.0.5", "fd00::1", ""])
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_a_proxy_that_is_not_counted_is_noticed_once(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, peer: str, header: str
) -> None:
    client = make_app().test_client()
    client.environ_base["REMOTE_ADDR"] = peer
    client.get("/")
    assert HINT not in caplog.text
    for _ in range(3):
        client.get("/", headers={header: VISITOR})
    assert caplog.text.count(HINT) == 1
    assert VISITOR not in caplog.text


def test_what_strangers_claim_is_not_noticed(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    through(make_app().test_client(), VISITOR, peer="93.184.216.34").get("/")
    through(make_app(PROXIES=1).test_client(), VISITOR).get("/")
    assert HINT not in caplog.text


@pytest.mark.parametrize(
    ("proxies", "proto", "secure"),
    [
        (1, "https", True),
        (1, "http", False),
        (1, "", False),
        (2, "https", True),  # passed on by the second as it came
        (2, "https, http", True),  # added to
        (0, "https", False),
    ],
)
def test_cookies_are_secure_under_tls_at_the_proxy(
    make_app: MakeApp, proxies: int, proto: str, secure: bool
) -> None:
    client = make_app(ADMIN_PASSWORD_HASH=HASH, PROXIES=proxies).test_client()
    # Under TLS a form's page is named, as browsers do.
    client.environ_base.update(HTTP_X_FORWARDED_PROTO=proto, HTTP_REFERER="https://localhost/login")
    client.environ_base["HTTP_X_FORWARDED_FOR"] = VISITOR
    response = log_in(client)
    assert response.status_code == 303
    assert ("; Secure" in response.headers["Set-Cookie"]) is secure


def test_the_log_has_no_visitor_s_address(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    settings = {"ADMIN_PASSWORD_HASH": HASH, "ADMIN_TOKEN": TOKEN, "RATE_LIMIT": "1 per minute"}
    for proxies in (0, 1):
        client = through(make_app(**settings, PROXIES=proxies).test_client(), VISITOR, VISITOR)
        codes = [client.post("/api/captions").status_code for _ in range(2)]
        assert codes == [400, 429]
        assert [log_in(client, "a guess").status_code for _ in range(6)][-1] == 429
        wrong = {"Authorization": "Bearer guess"}
        assert client.get("/api/models", headers=wrong).status_code == 401
        assert client.get("/nothing").status_code == 404
        client.post("/login", data={"csrf_token": form_token(client, "/login")})
        assert client.get("/versions", headers={"Host": "evil.example"}).status_code == 400
    assert "Audit: " in caplog.text
    assert "POST /api/captions" in caplog.text
    assert VISITOR not in caplog.text


@pytest.mark.parametrize("path", ["/", "/cap/", "/cap"])
@pytest.mark.parametrize(
    ("proxies", "header", "script_name"),
    [(1, "/cap", ""), (1, "//cap/", ""), (0, "", "/cap"), (0, "/other", "/cap"), (1, "", "/cap")],
)
def test_it_works_under_a_prefix_that_is_taken_off_the_path_or_not(
    make_app: Callable[..., Flask],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    proxies: int,
    header: str,
    script_name: str,
) -> None:
    monkeypatch.setenv("SCRIPT_NAME", script_name)
    client = make_app(PROXIES=proxies).test_client()
    headers = {"X-Forwarded-Prefix": header} if header else {}
    page = client.get(path, headers=headers)
    assert page.status_code == 200
    assert 'data-api="/cap/api/captions"' in page.text
    assert 'src="/cap/static/js/captions/main.js"' in page.text
    assert client.get("/healthz").status_code == 200


def test_a_prefix_leads_to_no_other_server(make_app: Callable[..., Flask]) -> None:
    client = make_app(PROXIES=1).test_client()
    page = client.get("/", headers={"X-Forwarded-Prefix": '/"><script>'})
    assert 'data-api="/api/captions"' in page.text
