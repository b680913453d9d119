"""What goes out compressed, and what must not."""

from __future__ import annotations

import gzip

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


@pytest.mark.parametrize("path", ["/", "/compare", "/api/versions", "/nothing"])
def test_what_holds_a_token_or_an_answer_is_not(client: FlaskClient, path: str) -> None:
    assert "Content-Encoding" not in client.get(path, headers=GZIP).headers


def test_pictures_and_parts_of_a_file_are_not(client: FlaskClient) -> None:
    with client.get("/static/examples/coffee.jpg", headers=GZIP) as picture:
        assert "Content-Encoding" not in picture.headers
    with client.get("/static/js/captions/main.js", headers={**GZIP, "Range": "bytes=0-9"}) as part:
        assert part.status_code == 206
        assert "Content-Encoding" not in part.headers
