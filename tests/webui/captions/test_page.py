"""The page and its form without JavaScript."""

from __future__ import annotations

import base64
import gzip
import io
import re
from collections.abc import Callable
from urllib.parse import urljoin

import pytest
from flask import Flask
from flask.testing import FlaskClient
from urllib3 import encode_multipart_formdata
from werkzeug.test import TestResponse

from tests.webui.fake_torchserve import ANSWER, FakeTorchServe

PICTURE = b"\xff\xd8\xff the bytes of a picture"


def token(client: FlaskClient) -> str:
    """The form's token, as the page has it."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/").text)
    assert found
    return found[1]


def submit(client: FlaskClient, picture: bytes = PICTURE, **fields: str) -> TestResponse:
    """Send the form as a browser without JavaScript does."""
    form = {"csrf_token": token(client), **fields, "image": ("p.jpg", picture)}
    body, content_type = encode_multipart_formdata(form)
    return client.post("/", data=body, content_type=content_type)


def test_the_empty_page(client: FlaskClient) -> None:
    page = client.get("/").text
    assert 'data-state="empty"' in page
    assert "up to 2 MB" in page
    assert "Pictures are not stored" in page
    assert "<style" not in page
    assert " style=" not in page
    assert not re.search(r'(?:src|href)="(?!/|#)', page), "everything comes from this server"


def test_the_form_shows_the_caption_beside_its_picture(client: FlaskClient) -> None:
    response = submit(client)
    assert response.status_code == 200
    assert f"data:image/jpeg;base64,{base64.b64encode(PICTURE).decode()}" in response.text
    assert 'data-state="result"' in response.text
    assert '<span class="word" title="97% sure">A</span> ' in response.text
    assert 'title="90% sure">dog</span><span class="word" title="35% sure">' in response.text
    assert '<b data-slot="percent">61%</b> confident' in response.text
    assert 'data-trust="right" >Looks right</span>' in response.text
    assert re.search(r'data-slot="tags" [^>]*hidden', response.text)
    assert ">A dog</p>" in response.text, "the alternative"


def test_a_caption_of_little_confidence_is_marked(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    unsure = {**ANSWER["captions"][0], "confidence": 0.1}
    torchserve.reply(200, {**ANSWER, "captions": [unsure]})
    text = submit(client).text
    assert 'data-trust="check" >Check</span>' in text
    assert ">Not sure: may well be wrong.</span>" in text


def test_a_picture_unlike_any_photo_is_marked_and_its_tags_are_shown(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    unknown = {**ANSWER["captions"][0], "trust": "unknown"}
    tags = [{"word": "<b>dog</b>", "probability": 0.93}]
    torchserve.reply(200, {**ANSWER, "captions": [unknown], "tags": tags})
    text = submit(client).text
    assert '<article class="result panel" data-trust="unknown">' in text, "hides the guess"
    assert 'data-trust="unknown" >Can&#39;t tell</span>' in text
    assert ">This does not look like a photo it knows.</span>" in text
    assert 'title="93% sure" aria-pressed="false" disabled>&lt;b&gt;dog&lt;/b&gt;</button>' in text


def test_a_caption_is_escaped_everywhere(client: FlaskClient) -> None:
    text = submit(client).text
    assert "<b>rolls</b>" not in text
    assert "&lt;b&gt;rolls&lt;/b&gt;" in text


def test_the_form_passes_its_options_and_shows_them_again(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    response = submit(client, beam_size="7", num_captions="", max_length="9", people="neutral")
    [seen] = torchserve.predictions()
    assert (seen.headers["X-Beam-Size"], seen.headers["X-Max-Length"]) == ("7", "9")
    assert seen.headers["X-People"] == "neutral"
    assert re.search(r'name="beam_size"[^>]* value="7"', response.text)
    assert '<option value="neutral" selected>' in response.text


def test_a_picture_that_browsers_do_not_show_still_has_its_caption(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.reply(200, {**ANSWER, "image": {"width": 4, "height": 3, "format": "TIFF"}})
    text = submit(client).text
    assert "data:image" not in text
    assert "cannot be shown here, but it was read" in text


@pytest.mark.parametrize(
    ("status", "type_", "title"),
    [
        (415, "UnsupportedImage", "This is not a picture we can read"),
        (422, "CorruptImage", "This picture cannot be used"),
        (503, "ServiceUnavailableException", "All busy"),
        (500, "InternalServerException", "The captioning service is away"),
    ],
)
def test_an_error_is_a_page_with_its_status(
    client: FlaskClient, torchserve: FakeTorchServe, status: int, type_: str, title: str
) -> None:
    torchserve.reply(status, {"code": status, "type": type_, "message": "What <i>to</i> do."})
    response = submit(client)
    assert response.status_code == {500: 502}.get(status, status)
    assert response.mimetype == "text/html"
    assert f'<h2 data-slot="title">{title}</h2>' in response.text
    assert 'role="alert"' in response.text
    assert "<i>to</i>" not in response.text
    assert 'name="csrf_token"' in response.text, "the next picture can be sent from here"


def test_a_picture_over_the_limit_is_a_page_too(client: FlaskClient) -> None:
    response = submit(client, bytes(5 * 1024 * 1024))
    assert response.status_code == 413
    assert "at most 2 MB" in response.text


@pytest.mark.parametrize("csrf_token", [None, "", "forged"])
def test_the_form_needs_its_token(
    client: FlaskClient, torchserve: FakeTorchServe, csrf_token: str | None
) -> None:
    token(client)
    data: dict[str, object] = {"image": (io.BytesIO(PICTURE), "p.jpg")}
    if csrf_token is not None:
        data["csrf_token"] = csrf_token
    response = client.post("/", data=data)
    assert response.status_code == 400
    assert "Load it again" in response.text
    assert torchserve.seen == []


def test_a_token_of_another_visitor_does_not_serve(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    stolen = token(app.test_client())
    other = app.test_client()
    token(other)
    data = {"csrf_token": stolen, "image": (io.BytesIO(PICTURE), "p.jpg")}
    assert other.post("/", data=data).status_code == 400


def test_the_form_counts_with_the_api_towards_the_limit(make_app: Callable[..., Flask]) -> None:
    client = make_app(RATE_LIMIT="1 per minute").test_client()
    client.post("/api/captions")
    response = submit(client)
    assert response.status_code == 429
    assert "Too many pictures in a short time" in response.text


def test_an_address_that_is_not_there_is_a_page(client: FlaskClient) -> None:
    response = client.get("/nothing/<script>")
    assert response.status_code == 404
    assert "Page not found" in response.text
    assert "<script>" not in response.text


def test_the_comparison_is_a_page(client: FlaskClient) -> None:
    response = client.get("/compare")
    assert response.status_code == 200
    assert " style=" not in response.text
    assert 'href="/compare" aria-current="page"' in response.text


def download(client: FlaskClient, address: str) -> bytes:
    with client.get(address) as response:
        assert response.status_code == 200
        return response.data


@pytest.mark.parametrize("path", ["/", "/compare"])
def test_a_page_weighs_at_most_90_kb_and_names_each_of_its_files(
    client: FlaskClient, path: str
) -> None:
    page = client.get(path).text
    named = set(re.findall(r'(?:src|href)="(/static/[^"]+\.(?:js|css|svg|woff2))"', page))
    bodies = [download(client, address) for address in sorted(named)]
    weight = sum(len(gzip.compress(body)) for body in [page.encode(), *bodies])
    assert 10_000 < weight <= 90_000
    # Each module that another one imports is named, so that all are fetched at once.
    imported = {
        urljoin(address, module)
        for address, body in zip(sorted(named), bodies, strict=True)
        if address.endswith(".js")
        for module in re.findall(r'from "(\.[^"]+)"', body.decode())
    }
    assert imported == {one for one in named if one.endswith(".js")} - {
        "/static/js/captions/main.js",
        "/static/js/captions/compare.js",
    }
