"""POST /api/captions: what TorchServe gets, and requests that it never sees."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.webui.administration import check
from tests.webui.captions.uploading import PICTURE, post
from tests.webui.fake_management import FakeVersion
from tests.webui.fake_torchserve import ANSWER, FakeTorchServe, explained


def test_the_answer_is_torchserves(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    response = post(client, beam_size="4", max_length="12", num_captions="")
    assert response.status_code == 200
    assert response.mimetype == "application/json"
    assert response.get_json() == ANSWER
    [seen] = torchserve.predictions()
    assert seen.path == "/predictions/captioner"
    assert seen.body == PICTURE
    assert (seen.headers["X-Beam-Size"], seen.headers["X-Max-Length"]) == ("4", "12")
    assert "X-Num-Captions" not in seen.headers


@pytest.mark.parametrize(("route", "answer"), [("captions", ANSWER), ("explanations", explained())])
def test_the_answer_goes_out_byte_for_byte(
    client: FlaskClient, torchserve: FakeTorchServe, route: str, answer: dict[str, Any]
) -> None:
    body = json.dumps({"later": [1.0, 1e-7, "\u00e9"], **answer}, indent=3).encode() + b"\n\n"
    torchserve.reply(200, body)
    response = post(client, to=route)
    assert response.data == body


def test_an_explanation_says_where_each_word_looked(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    response = post(client, to="explanations", beam_size="4")
    assert response.status_code == 200
    assert response.get_json() == explained()
    [seen] = torchserve.predictions()
    assert seen.path == "/explanations/captioner"
    assert (seen.body, seen.headers["X-Beam-Size"]) == (PICTURE, "4")


@pytest.mark.parametrize(
    "attention",
    [
        None,
        {"rows": 1, "columns": 2},
        {"rows": 2, "columns": 2, "weights": [0.5, 0.5]},
        {"rows": 0, "columns": 0, "weights": []},
        {"rows": 1, "columns": 1, "weights": ["much"]},
    ],
)
def test_an_explanation_without_a_grid_is_502(
    client: FlaskClient, torchserve: FakeTorchServe, attention: object
) -> None:
    answer = explained()
    answer["captions"][1]["words"][1]["attention"] = attention
    torchserve.reply(200, answer)
    check(post(client, to="explanations"), 502, "CaptioningFailed", "could not caption")


@pytest.mark.parametrize(
    ("route", "verb"), [("captions", "predictions"), ("explanations", "explanations")]
)
def test_a_version_can_be_asked_for(
    client: FlaskClient, torchserve: FakeTorchServe, route: str, verb: str
) -> None:
    assert post(client, to=route, version=" 2.0-beta ").status_code == 200
    assert post(client, to=route, version="").status_code == 200
    paths = [seen.path for seen in torchserve.predictions()]
    assert paths == [f"/{verb}/captioner/2.0-beta", f"/{verb}/captioner"]


@pytest.mark.parametrize(
    "version", ["..", "1/2", "token", "tokens-1", "a?b", "%2e%2e", "1\r\nX: 1", "é", "9" * 101]
)
def test_a_version_that_is_none_is_400(
    client: FlaskClient, torchserve: FakeTorchServe, version: str
) -> None:
    check(post(client, version=version), 400, "InvalidOption", "GET /api/versions lists them")
    assert torchserve.seen == []


def test_a_version_that_is_not_registered_is_404(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    absent = {"code": 404, "type": "ModelVersionNotFoundException", "message": "secret"}
    torchserve.reply(404, absent)
    check(post(client, version="9.9"), 404, "UnknownVersion", "got '9.9'")
    # Nobody asked for one: the model is being loaded.
    torchserve.reply(404, absent)
    check(post(client), 503, "Busy", "Try again")


def test_the_versions_are_listed(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    second = FakeVersion("second.mar", ["READY"])
    torchserve.models.versions["captioner"]["2.0"] = second
    assert client.get("/api/versions").get_json() == {
        "model": "captioner",
        "default": "1.0",
        "versions": [
            {"version": "1.0", "default": True, "ready": True},
            {"version": "2.0", "default": False, "ready": True},
        ],
    }


def test_a_version_without_a_ready_worker_is_listed_as_such(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.worker_states = ["UNLOADING"]
    [version] = client.get("/api/versions").get_json()["versions"]
    assert version == {"version": "1.0", "default": True, "ready": False}


def test_no_version_while_the_model_is_not_registered(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.models.versions.clear()
    answer = client.get("/api/versions").get_json()
    assert answer == {"model": "captioner", "default": None, "versions": []}


def test_the_versions_are_502_while_torchserve_is_away(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.stop()
    check(client.get("/api/versions"), 502, "CaptioningAway", "cannot be reached")


def test_no_header_of_the_client_reaches_torchserve(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    client.post(
        "/api/captions?x=/token",
        data={"image": (io.BytesIO(PICTURE), "/token.jpg")},
        headers={"describe": "True", "X-Beam-Size": "99", "Authorization": "Bearer x"},
    )
    [seen] = torchserve.predictions()
    assert set(seen.headers) == {
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Encoding",
        "Connection",
        "Content-Type",
        "Content-Length",
        "Authorization",
        "X-Request-ID",
    }
    assert seen.headers["Authorization"] == "Bearer inference-2"


@pytest.mark.parametrize(
    ("data", "type_", "message"),
    [
        ({}, "MissingImage", "Expected one picture in the multipart/form-data field 'image'"),
        ({"image": (io.BytesIO(b""), "")}, "MissingImage", "got none"),
        ({"image": (io.BytesIO(b""), "empty.jpg")}, "MissingImage", "got an empty file"),
        ({"picture": (io.BytesIO(b"x"), "p.jpg")}, "MissingImage", "got none"),
        (
            {"image": [(io.BytesIO(b"x"), "1.jpg"), (io.BytesIO(b"y"), "2.jpg")]},
            "SeveralImages",
            "got 2",
        ),
    ],
)
def test_a_request_without_one_picture_is_400(
    client: FlaskClient, torchserve: FakeTorchServe, data: dict[str, Any], type_: str, message: str
) -> None:
    response = client.post("/api/captions", data=data, content_type="multipart/form-data")
    check(response, 400, type_, message)
    assert torchserve.seen == []


def test_a_body_that_is_no_form_is_400(client: FlaskClient) -> None:
    check(client.post("/api/captions", data=PICTURE), 400, "MissingImage", "multipart/form-data")


@pytest.mark.parametrize("value", ["many", "1.5", "-1", "1_0", "٣", "3\r\nX-Evil: 1", "9" * 10])
def test_an_option_that_is_no_number_is_400(
    client: FlaskClient, torchserve: FakeTorchServe, value: str
) -> None:
    check(post(client, beam_size=value), 400, "InvalidOption", "whole number for beam_size")
    assert torchserve.seen == []


@pytest.mark.parametrize("name", ['name="image"', "name=image"])
def test_a_picture_without_a_file_name_arrives_as_it_is(
    client: FlaskClient, torchserve: FakeTorchServe, name: str
) -> None:
    picture = PICTURE + bytes(range(256)) * 1000  # more than a text may have
    head = f"--x\r\nContent-Disposition: form-data; {name}\r\n\r\n"
    option = '\r\n--x\r\nContent-Disposition: form-data; name="beam_size"\r\n\r\n2'
    body = head.encode() + picture + option.encode() + b"\r\n--x--\r\n"
    content_type = "multipart/form-data; boundary=x"
    assert client.post("/api/captions", data=body, content_type=content_type).status_code == 200
    [seen] = torchserve.predictions()
    assert seen.body == picture
    assert seen.headers["X-Beam-Size"] == "2"


def test_the_words_are_chosen_too(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    assert post(client, people="neutral", alternatives="different").status_code == 200
    [seen] = torchserve.predictions()
    assert (seen.headers["X-People"], seen.headers["X-Alternatives"]) == ("neutral", "different")
    check(post(client, people="all"), 400, "InvalidOption", "named or neutral")
