"""Sending a picture as a program does."""

from __future__ import annotations

from flask.testing import FlaskClient
from urllib3 import encode_multipart_formdata
from werkzeug.test import TestResponse

PICTURE = b"\xff\xd8\xff the bytes of a picture"


def post(
    client: FlaskClient, picture: bytes = PICTURE, to: str = "captions", **fields: str
) -> TestResponse:
    """POST a picture and options to the API."""
    # Not by the client's own means, which write large forms to temporary files.
    body, content_type = encode_multipart_formdata({**fields, "image": ("p.jpg", picture)})
    return client.post(f"/api/{to}", data=body, content_type=content_type)
