"""Headers, cookies, host names, memory: what every answer keeps to."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from urllib3 import encode_multipart_formdata

from tests.webui.fake_torchserve import FakeTorchServe

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
    "img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("GET", "/static/js/captions/main.js"),
        ("POST", "/"),
        ("POST", "/api/captions"),
        ("GET", "/healthz"),
        ("GET", "/metrics"),
    ],
)
def test_every_answer_has_the_headers(client: FlaskClient, method: str, path: str) -> None:
    with client.open(path, method=method) as response:
        headers = response.headers
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert (headers["Cache-Control"] == "no-store") is not path.startswith("/static")


def test_scripts_are_served_as_scripts(client: FlaskClient) -> None:
    with client.get("/static/js/captions/main.js") as response:
        assert response.mimetype == "text/javascript"


def test_nothing_is_written_to_disk(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    # Above the 500 kB from which Werkzeug would use a file.
    body, content_type = encode_multipart_formdata({"image": ("p.jpg", bytes(1_500_000))})

    def spy(*_: object, **__: object) -> object:
        raise AssertionError("a temporary file")

    monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", spy)
    for name in ("TemporaryFile", "SpooledTemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, spy)
    response = client.post("/api/captions", data=body, content_type=content_type)
    assert response.status_code == 200


def test_the_cookie_is_closed_to_scripts_and_other_sites(client: FlaskClient) -> None:
    cookie = client.get("/").headers["Set-Cookie"]
    assert cookie.startswith("captionize=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie


def test_the_cookie_is_secure_under_tls(client: FlaskClient) -> None:
    cookie = client.get("/", base_url="https://localhost").headers["Set-Cookie"]
    assert "; Secure" in cookie


def test_the_api_sets_no_cookie(client: FlaskClient) -> None:
    response = client.post("/api/captions", data={"image": (io.BytesIO(b"x"), "p.jpg")})
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000"])
def test_its_own_names_are_answered(client: FlaskClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/login", "/nothing"])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.0.2.7:8000"])
def test_other_host_names_are_refused(client: FlaskClient, host: str, path: str) -> None:
    response = client.get(path, headers={"Host": host})
    assert response.status_code == 400
    assert "CAPTIONIZE_TRUSTED_HOSTS" in response.text
    assert "evil" not in response.text


def test_other_host_names_are_refused_in_json_to_programs(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    response = client.post("/api/captions", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert response.get_json()["type"] == "UntrustedHost"
    assert torchserve.seen == []


def test_a_configured_name_is_answered(make_app: Callable[..., Flask]) -> None:
    client = make_app(TRUSTED_HOSTS="captions.example").test_client()
    assert client.get("/", headers={"Host": "captions.example"}).status_code == 200
    assert client.get("/", headers={"Host": "other.example"}).status_code == 400


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"]
)
@pytest.mark.parametrize("proxies", [0, 1])
def test_health_is_answered_under_any_name(
    make_app: Callable[..., Flask], path: str, proxies: int
) -> None:
    client = make_app(TRUSTED_HOSTS="captions.example", PROXIES=proxies).test_client()
    for host in ("localhost", "10.42.0.7:8000", "evil.example"):
        headers = {"Host": host, "X-Forwarded-Host": host}
        assert client.get(path, headers=headers).status_code == 200


def test_forwarded_addresses_are_believed_only_from_our_own_proxies(
    make_app: Callable[..., Flask],
) -> None:
    def codes(proxies: int) -> list[int]:
        client = make_app(RATE_LIMIT="1 per minute", PROXIES=proxies).test_client()
        return [
            client.post("/api/captions", headers={"X-Forwarded-For": f"192.0.2.{i}"}).status_code
            for i in range(2)
        ]

    assert codes(proxies=0) == [400, 429]
    assert codes(proxies=1) == [400, 400]


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({}, "LocalHost:8000"),
        ({}, "localhost."),
        ({}, "[::1]:8000"),
        ({"HOST": "::"}, "[0:0:0:0:0:0:0:1]:8000"),
        ({"HOST": "127.0.0.2"}, "127.0.0.2:8000"),
        ({"HOST": "[2001:db8::1]"}, "[2001:DB8::1]"),
        ({"TRUSTED_HOSTS": "MyServer"}, "myserver"),
        ({"TRUSTED_HOSTS": "myserver,[2001:db8::7]"}, "MYSERVER:80"),
        ({"TRUSTED_HOSTS": "[2001:db8::7]"}, "[2001:db8::7]:8000"),
    ],
)
def test_names_are_known_however_they_are_written(
    make_app: Callable[..., Flask], settings: dict[str, str], host: str
) -> None:
    client = make_app(**settings).test_client()
    assert client.get("/", headers={"Host": host}).status_code == 200
    for other in ("[2001:db8::8]", "[::1", "0.0.0.0", "127.0.0.3"):
        assert client.get("/", headers={"Host": other}).status_code == 400
