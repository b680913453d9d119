"""The administrator's password, token and session."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.administration import BEARER, HASH, PASSWORD, TOKEN, check, form_token, log_in
from webui.administrator import auth

MakeApp = Callable[..., Flask]

ROUTES = [
    ("GET", "/api/models"),
    ("POST", "/api/models"),
    ("GET", "/api/models/captioner/1.0"),
    ("PUT", "/api/models/captioner/1.0"),
    ("DELETE", "/api/models/captioner/1.0"),
    ("PUT", "/api/models/captioner/1.0/default"),
    ("PUT", "/api/models/captioner/1.0/workers"),
    ("POST", "/api/models/captioner/rollback"),
    ("GET", "/api/jobs"),
    ("GET", "/api/jobs/1"),
    ("GET", "/api/archives"),
    ("POST", "/api/archives"),
    ("DELETE", "/api/archives/second.mar"),
    ("GET", "/api/audit"),
    ("GET", "/api/canary"),
    ("PUT", "/api/canary"),
    ("DELETE", "/api/canary"),
]
CHANGES = [(method, path) for method, path in ROUTES if method != "GET"]


@pytest.fixture
def admin(make_app: MakeApp) -> FlaskClient:
    """A client of an application with an administrator; not logged in."""
    return make_app(ADMIN_PASSWORD_HASH=HASH, ADMIN_TOKEN=TOKEN).test_client()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_an_administrator_nobody_is_one(
    client: FlaskClient, method: str, path: str
) -> None:
    for headers in ({}, BEARER):
        response = client.open(path, method=method, headers=headers)
        check(response, 403, "AdministratorOff", "python -m webui.admin hash-password")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_wants_credentials(admin: FlaskClient, method: str, path: str) -> None:
    response = admin.open(path, method=method)
    check(response, 401, "NotAuthenticated", "/login")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header",
    ["Bearer", "bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"BEARER é{TOKEN}"],
)
def test_a_wrong_token_is_refused(admin: FlaskClient, header: str) -> None:
    response = admin.get("/api/models", headers={"Authorization": header})
    check(response, 401, "WrongToken")


# What a proxy's own log-in, or the browser's for it, sends along.
FOREIGN = [
    "Basic dXNlcjpxdWlldA==",
    f"Basic {TOKEN}",
    "Digest username=x",
    "Negotiate YII=",
    TOKEN,
    "",
]


@pytest.mark.parametrize("header", FOREIGN)
def test_only_a_bearer_token_is_read(admin: FlaskClient, header: str) -> None:
    headers = {"Authorization": header}
    for _ in range(7):  # they are no guesses
        check(admin.get("/api/models", headers=headers), 401, "NotAuthenticated")
    log_in(admin)
    assert admin.get("/api/models", headers=headers).status_code == 200
    check(admin.delete("/api/canary", headers=headers), 400, "FormExpired")
    headers["X-CSRFToken"] = form_token(admin, "/versions")
    assert admin.delete("/api/canary", headers=headers).status_code == 200
    [login] = admin.get("/api/audit", headers=headers).get_json()["audit"][1:]
    assert login["message"] == "Logged in."


def test_a_proxy_s_own_token_keeps_no_session_out(admin: FlaskClient) -> None:
    log_in(admin)
    foreign = {"Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"}
    for _ in range(7):
        assert admin.get("/api/models", headers=foreign).status_code == 200
    check(admin.delete("/api/canary", headers=foreign), 400, "FormExpired")
    assert admin.get("/api/models", headers=BEARER).status_code == 200


@pytest.mark.parametrize("header", [f"bearer {TOKEN}", f"  BEARER   {TOKEN}  "])
def test_the_scheme_s_case_and_spaces_do_not_matter(admin: FlaskClient, header: str) -> None:
    assert admin.get("/api/models", headers={"Authorization": header}).status_code == 200


def test_the_token_lets_in_without_csrf(admin: FlaskClient) -> None:
    assert admin.get("/api/models", headers=BEARER).status_code == 200
    check(admin.put("/api/canary", json={}, headers=BEARER), 400, "BadBody")


def test_an_empty_token_is_none(make_app: MakeApp) -> None:
    client = make_app(ADMIN_PASSWORD_HASH=HASH).test_client()
    response = client.get("/api/models", headers={"Authorization": "Bearer "})
    check(response, 401, "WrongToken")


def test_the_password_begins_a_session(admin: FlaskClient) -> None:
    response = log_in(admin)
    assert (response.status_code, response.headers["Location"]) == (303, "/versions")
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert admin.get("/api/models").status_code == 200
    assert admin.get("/login").status_code == 303


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_a_change_by_cookie_wants_the_csrf_token(
    admin: FlaskClient, method: str, path: str
) -> None:
    log_in(admin)
    for headers in ({}, {"X-CSRFToken": "made up"}):
        check(admin.open(path, method=method, headers=headers), 400, "FormExpired")


@pytest.mark.parametrize(
    ("back", "place"),
    [
        ("operations", "/operations"),
        ("versions", "/versions"),
        ("//elsewhere.example", "/versions"),
        ("", "/versions"),
    ],
)
def test_a_login_leads_back_and_never_elsewhere(admin: FlaskClient, back: str, place: str) -> None:
    token = form_token(admin, f"/login?back={back}")
    form = {"csrf_token": token, "password": PASSWORD, "back": back}
    response = admin.post("/login", data=form)
    assert (response.status_code, response.headers["Location"]) == (303, place)
    response = admin.get(f"/login?back={back}")  # logged in already
    assert (response.status_code, response.headers["Location"]) == (303, place)


def test_the_login_page_keeps_where_to_go(admin: FlaskClient) -> None:
    assert 'name="back" value="operations"' in admin.get("/login?back=operations").text
    assert 'name="back" value="&#34;&gt;"' in admin.get('/login?back=">').text


def test_the_csrf_token_of_before_the_login_is_void(admin: FlaskClient) -> None:
    before = form_token(admin, "/login")
    admin.post("/login", data={"csrf_token": before, "password": PASSWORD})
    check(admin.delete("/api/canary", headers={"X-CSRFToken": before}), 400, "FormExpired")
    after = form_token(admin, "/versions")
    assert admin.delete("/api/canary", headers={"X-CSRFToken": after}).status_code == 200


def test_a_login_wants_the_csrf_token(admin: FlaskClient) -> None:
    assert admin.post("/login", data={"password": PASSWORD}).status_code == 400
    check(admin.get("/api/models"), 401, "NotAuthenticated")


def test_a_logout_ends_the_session_for_a_copied_cookie_too(admin: FlaskClient) -> None:
    log_in(admin)
    copied = admin.get_cookie("captionize")
    assert copied
    response = admin.post("/logout", data={"csrf_token": form_token(admin, "/versions")})
    assert response.status_code == 303
    check(admin.get("/api/models"), 401, "NotAuthenticated")
    admin.set_cookie("captionize", copied.value)
    check(admin.get("/api/models"), 401, "NotAuthenticated")


def test_a_session_ends_by_itself(admin: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "SESSION_S", 0.0)
    log_in(admin)
    check(admin.get("/api/models"), 401, "NotAuthenticated")


def test_a_wrong_password_says_so(admin: FlaskClient) -> None:
    response = log_in(admin, "a guess")
    assert response.status_code == 401
    assert "not the administrator&#39;s password" in response.text
    [entry] = admin.get("/api/audit", headers=BEARER).get_json()["audit"]
    assert (entry["actor"], entry["action"], entry["outcome"]) == ("unknown", "login", "refused")
    assert "a guess" not in str(entry)


def test_a_thousand_guesses_are_slowed_and_logged(
    admin: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    form = {"csrf_token": form_token(admin, "/login"), "password": "a guess"}
    answers = [admin.post("/login", data=form) for _ in range(1000)]
    assert [one.status_code for one in answers] == [401] * 5 + [429] * 995
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert "Wait" in answers[-1].text
    assert log_in(admin).status_code == 429, "not even the right one is looked at"
    assert caplog.text.count("A wrong password") == 5
    assert caplog.text.count("Too many guesses of the password from one address") == 996
    # Guesses of one address are not held against another.
    assert log_in(admin, environ_overrides={"REMOTE_ADDR": "127.0.0.2"}).status_code == 303


def test_guesses_of_the_token_are_slowed_too(admin: FlaskClient) -> None:
    wrong = {"Authorization": "Bearer guess"}
    codes = [admin.get("/api/models", headers=wrong).status_code for _ in range(7)]
    assert codes == [401] * 5 + [429] * 2
    assert int(admin.get("/api/models", headers=wrong).headers["Retry-After"]) > 0
    assert admin.get("/api/models", headers=BEARER).status_code == 200
    assert log_in(admin).status_code == 303, "a script with an old token keeps no person out"


def test_a_guesser_with_many_ipv6_addresses_is_one(admin: FlaskClient) -> None:
    wrong = {"Authorization": "Bearer guess"}
    codes = [
        admin.get(
            "/api/models", headers=wrong, environ_overrides={"REMOTE_ADDR": f"2001:db8::{i}"}
        ).status_code
        for i in range(6)
    ]
    assert codes == [401] * 5 + [429]


def test_the_right_password_clears_the_count(admin: FlaskClient) -> None:
    for _ in range(3):
        assert [log_in(admin, "a guess").status_code for _ in range(4)] == [401] * 4
        log_in(admin)
        admin.post("/logout", data={"csrf_token": form_token(admin, "/versions")})


def test_the_page_says_how_it_is_turned_on(client: FlaskClient, make_app: MakeApp) -> None:
    page = client.get("/versions")
    assert page.status_code == 200
    assert "The administrator is off" in page.text
    assert "hash-password" in page.text
    assert "script type" not in page.text
    assert "No password is set" in client.get("/login").text
    form = {"csrf_token": form_token(client, "/"), "password": ""}
    assert client.post("/login", data=form).status_code == 403
    scripts = make_app(ADMIN_TOKEN=TOKEN).test_client()
    assert "Scripts can manage the versions already" in scripts.get("/versions").text


def test_the_page_is_for_the_administrator(admin: FlaskClient) -> None:
    response = admin.get("/versions")
    assert (response.status_code, response.headers["Location"]) == (303, "/login")
    log_in(admin)
    page = admin.get("/versions")
    assert 'data-state="loading"' in page.text
    assert " style=" not in page.text
