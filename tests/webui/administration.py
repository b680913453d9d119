"""What tests of the administrator's part share."""

from __future__ import annotations

import re
import time
from typing import Any

from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

PASSWORD = "quiet harbour"
# The least work that werkzeug's check accepts: these tests are not about scrypt.
HASH = generate_password_hash(PASSWORD, method="pbkdf2:sha256:1")
TOKEN = "0123456789abcdef0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
WAIT_S = 10


def form_token(client: FlaskClient, path: str) -> str:
    """The CSRF token of the form on a page."""
    found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', client.get(path).text)
    assert found
    return found[1]


def log_in(client: FlaskClient, password: str = PASSWORD, **kwargs: Any) -> TestResponse:
    """Log in by the form."""
    form = {"csrf_token": form_token(client, "/login"), "password": password}
    return client.post("/login", data=form, **kwargs)


def check(response: TestResponse, code: int, type_: str, message: str = "") -> None:
    """Assert an error of the API, with its form."""
    body = response.get_json()
    assert response.mimetype == "application/json"
    assert sorted(body) == ["code", "message", "type"]
    assert (response.status_code, body["code"], body["type"]) == (code, code, type_), body
    assert message in body["message"]
    assert body["message"].endswith(".")


def wait_for_job(client: FlaskClient, response: TestResponse) -> dict[str, Any]:
    """The job of a 202 once it has ended."""
    assert response.status_code == 202, response.get_json()
    give_up = time.monotonic() + WAIT_S
    while time.monotonic() < give_up:
        job: dict[str, Any] = client.get(response.headers["Location"], headers=BEARER).get_json()
        if job["state"] != "running":
            return job
        time.sleep(0.01)
    raise TimeoutError(f"the job {job} did not end")


class Admin:
    """Calls with the token."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        extra: dict[str, Any] = {} if body is None else {"json": body}
        return self.client.open(f"/api{path}", method=method, headers=BEARER, **extra)

    def job(self, method: str, path: str, body: object) -> dict[str, Any]:
        return wait_for_job(self.client, self(method, path, body))

    def model(self) -> dict[str, Any]:
        [model] = self("GET", "/models").get_json()["models"]
        return dict(model)

    def audit(self) -> list[dict[str, Any]]:
        return list(self("GET", "/audit").get_json()["audit"])
