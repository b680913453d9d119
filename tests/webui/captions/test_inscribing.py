"""POST /api/inscriptions: a ZIP of pictures with their captions in them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from basics.inscribing import alt_text
from tests.webui.administration import check
from webui.captions import inscribing


def saved(form: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, form)
    return file.getvalue()


JPEG, PNG, GIF = map(saved, ("JPEG", "PNG", "GIF"))
Pairs = Sequence[tuple[str, bytes, str]]


def send(
    client: FlaskClient, pairs: Pairs, *, captions: int | None = None, buffered: bool = True
) -> TestResponse:
    data = {
        "image": [(io.BytesIO(data), name) for name, data, _ in pairs],
        "caption": [caption for _, _, caption in pairs][:captions],
    }
    return client.post(
        "/api/inscriptions", data=data, content_type="multipart/form-data", buffered=buffered
    )


def test_every_picture_has_its_caption(client: FlaskClient) -> None:
    names = ("a.jpg", "dir/a.jpg", "b.png", "c.gif", "left-out.txt", "..", "b.PNG")
    data = (JPEG, JPEG, PNG, GIF, JPEG, JPEG, PNG)
    said = [*(f"Caption {n}" for n in range(6)), ""]  # the last one is decorative
    pairs = [*zip(names, data, said, strict=True)]
    response = send(client, pairs)
    assert (response.status_code, response.mimetype) == (200, "application/zip")
    assert "Content-Length" not in response.headers  # it is made while it is sent
    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    assert files.pop("left-out.txt").decode().startswith("c.gif: Captions can be written")
    assert [*files] == ["a.jpg", "a (2).jpg", "b.png", "left-out (2).txt", "picture", "b (2).PNG"]
    captions = [alt_text(data) for data in files.values()]
    assert captions == [said[n] for n in (0, 1, 2, 4, 5, 6)]


@pytest.mark.parametrize(
    ("pairs", "captions", "code", "type"),
    [
        ([], None, 400, "MissingImage"),
        ([("a.jpg", JPEG, "x")] * 2, 1, 400, "MissingCaption"),
        ([("a.jpg", JPEG, "x")] * (inscribing.MOST + 1), None, 413, "BodyTooLarge"),
        ([("a.jpg", JPEG + bytes(300_000), "x")], None, 413, "BodyTooLarge"),
    ],
)
def test_what_is_refused(
    make_app: Callable[..., Flask], pairs: Pairs, captions: int | None, code: int, type: str
) -> None:
    client = make_app(MAX_ZIP_MB=0.25).test_client()
    for _ in range(3):  # more often than there are turns: each is given back
        check(send(client, pairs, captions=captions), code, type)


def test_two_at_a_time(client: FlaskClient) -> None:
    pairs = [("a.jpg", JPEG, "A red square")] * 2
    begun = [send(client, pairs, buffered=False) for _ in range(2)]
    response = send(client, pairs)
    check(response, 503, "Busy")
    assert response.headers["Retry-After"] == "3"
    for answer in begun:
        answer.close()  # as when a client goes away
    assert send(client, pairs).status_code == 200


def test_a_picture_that_is_too_large_is_left_out(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inscribing, "PICTURE_BYTES", len(JPEG) - 1)
    response = send(client, [("a.jpg", JPEG, "A red square")])
    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        assert archive.namelist() == ["left-out.txt"]
        assert b"at most" in archive.read("left-out.txt")
