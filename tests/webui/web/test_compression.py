"""What goes out compressed, and what must not."""

from __future__ import annotations

import gzip
import io
import re

import pytest
from flask.testing import FlaskClient

GZIP = {"Accept-Encoding": "gzip, deflate, br"}


@pytest.mark.parametrize(
    "path", ["/static/js/captions/main.js", "/static/css/web/base.css", "/static/logo.svg"]
)
def test_scripts_and_styles_are_compressed(client: FlaskClient, path: str) -> None:
    with client.get(path) as plain, client.get(path, headers=GZIP) as packed:
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.data) == plain.data
        assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data)
        assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
        tag = packed.headers["ETag"]
    with client.get(path, headers={**GZIP, "If-None-Match": tag}) as again:
        assert again.status_code == 304
        assert again.data == b""


@pytest.mark.parametrize("path", ["/compare", "/login", "/api/versions", "/nothing"])
def test_what_holds_a_token_or_an_answer_is_not(client: FlaskClient, path: str) -> None:
    assert "Content-Encoding" not in client.get(path, headers=GZIP).headers


def test_what_a_form_is_answered_with_is_not(client: FlaskClient) -> None:
    data = {"image": (io.BytesIO(b"no picture"), "a.jpg")}
    assert "Content-Encoding" not in client.post("/", data=data, headers=GZIP).headers


def test_the_first_page_weighs_less_than_90_kb(client: FlaskClient) -> None:
    page = client.get("/", headers=GZIP)
    markup = gzip.decompress(page.data).decode()
    assert "x" * 20 not in gzip.decompress(client.get(f"/?{'x' * 20}", headers=GZIP).data).decode()
    parts = set(re.findall(r' (?:href|src)="(/static/[^"]+)"', markup))
    assert len(parts) > 40, "typeface, styles, scripts and pictures"
    sizes = {"/": len(page.data)}
    for path in parts:
        with client.get(path, headers=GZIP) as part:
            sizes[path] = len(part.data)
    assert sum(sizes.values()) < 90_000, sizes


def test_pictures_and_parts_of_a_file_are_not(client: FlaskClient) -> None:
    with client.get("/static/examples/coffee.jpg", headers=GZIP) as picture:
        assert "Content-Encoding" not in picture.headers
    with client.get("/static/js/captions/main.js", headers={**GZIP, "Range": "bytes=0-9"}) as part:
        assert part.status_code == 206
        assert "Content-Encoding" not in part.headers
