"""Scripts of other sites: none, unless the operator lists the site."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from webui.web import keys

SITE = "https://photos.example"
KEY = keys.make()
PATHS = ["/api/captions", "/api/generate", "/v1/chat/completions", "/v2/models/captioner/infer"]
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
ALLOWED = "Access-Control-Allow-Origin"


@pytest.mark.parametrize("path", PATHS)
def test_a_listed_site_may_ask_and_no_other(make_app: Callable[..., Flask], path: str) -> None:
    api_keys = f"site:{keys.digest(KEY)}"
    client = make_app(
        CORS_ORIGINS=f"{SITE}, http://localhost:3000", API_KEYS=api_keys
    ).test_client()
    before = client.options(path, headers={"Origin": SITE, **ASKS})
    assert before.status_code == 200
    assert before.headers[ALLOWED] == SITE
    assert before.headers["Access-Control-Allow-Headers"] == "authorization"
    after = client.post(path, headers={"Origin": SITE})  # an error is for the script to read, too
    assert after.status_code == 401
    assert after.headers[ALLOWED] == SITE
    assert "Origin" in after.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in {**before.headers, **after.headers}
    for origin in ("https://evil.example", f"{SITE}.evil.example", "null"):
        assert ALLOWED not in client.options(path, headers={"Origin": origin, **ASKS}).headers


def test_the_administrator_s_part_is_open_to_no_site(make_app: Callable[..., Flask]) -> None:
    client = make_app(CORS_ORIGINS=SITE).test_client()
    for path in ("/api/models", "/api/operations", "/", "/metrics"):
        assert ALLOWED not in client.get(path, headers={"Origin": SITE}).headers


def test_without_a_list_there_is_none(make_app: Callable[..., Flask]) -> None:
    response = make_app().test_client().options(PATHS[0], headers={"Origin": SITE, **ASKS})
    assert ALLOWED not in response.headers
