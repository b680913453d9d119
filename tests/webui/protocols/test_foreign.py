"""The foreign APIs over a fake TorchServe: errors in each one's shape, limits, odd requests."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.fake_torchserve import ANSWER, FakeTorchServe
from tests.webui.protocols.sending import BASE64, DATA_URI, PICTURE, chat, openai_message, tensor

GENERATE = {"model": "captioner", "prompt": "What is this?", "images": [BASE64], "stream": False}
INFER = "/v2/models/captioner/infer"
HEADER = "Inference-Header-Content-Length"


def error(path: str, body: dict[str, Any]) -> str:
    """The sentence of an error, which has the shape of the path's API and nothing else."""
    if path.startswith("/v1/"):
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        return str(body["error"]["message"])
    assert list(body) == ["error"]
    return str(body["error"])


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/api/generate", {**GENERATE, "images": []}, 400, "does not chat"),
        ("/api/generate", {**GENERATE, "images": ["?"]}, 400, "base64"),
        ("/api/generate", {**GENERATE, "images": [7]}, 400, "base64"),
        ("/api/generate", {**GENERATE, "images": [BASE64] * 17}, 400, "at most 16"),
        ("/api/generate", {**GENERATE, "model": "llava"}, 404, "'llava'"),
        ("/api/generate", {**GENERATE, "model": None}, 404, "'None'"),
        ("/api/generate", {**GENERATE, "format": 7}, 400, "JSON schema"),
        ("/api/generate", {**GENERATE, "options": []}, 200, ""),
        ("/api/generate", {**GENERATE, "options": {"num_predict": "x"}}, 400, "num_predict"),
        ("/api/generate", {**GENERATE, "images": [BASE64] * 2, "format": "json"}, 400, "one by"),
        ("/api/chat", {"model": "captioner", "messages": [{"content": "?"}]}, 400, "picture"),
        ("/api/chat", {"model": "captioner", "messages": "?"}, 400, "picture"),
        ("/api/show", {"model": "llava"}, 404, "'llava'"),
        ("/api/embed", {"model": "captioner"}, 404, "not found"),
        ("/v1/chat/completions", chat(), 400, "does not chat"),
        ("/v1/chat/completions", chat(DATA_URI, model="gpt-4o"), 404, "'gpt-4o'"),
        ("/v1/chat/completions", chat(DATA_URI, n=9), 400, "at most 8"),
        ("/v1/chat/completions", chat(DATA_URI, n="many"), 400, "for n"),
        ("/v1/chat/completions", chat(DATA_URI, max_tokens=0), 400, "max_tokens"),
        ("/v1/chat/completions", chat("data:image/jpeg,%FF"), 400, "';base64'"),
        ("/v1/chat/completions", chat("photo.jpg"), 400, "data URI"),
        ("/v1/chat/completions", chat("https://a.example/p.jpg"), 400, "CAPTIONIZE_PICTURE_HOSTS"),
        ("/v1/chat/completions", chat(DATA_URI, response_format={"type": "xml"}), 400, "format"),
        ("/v1/responses", {"model": "captioner", "input": "hi"}, 400, "does not chat"),
        ("/v1/responses", {"model": "captioner", "previous_response_id": "r"}, 400, "stored"),
        ("/v1/embeddings", {}, 404, "not found"),
        (INFER, {"inputs": []}, 400, "one input"),
        (INFER, tensor(BASE64, datatype="FP32"), 400, "BYTES"),
        (INFER, tensor(BASE64, shape=[2]), 400, "shape"),
        (INFER, tensor(BASE64, shape=[True]), 400, "shape"),
        (INFER, tensor(), 400, "picture"),
        (INFER, tensor("?"), 400, "base64"),
        (INFER, {**tensor(BASE64), "outputs": [{"name": "logits"}]}, 400, "'logits'"),
        (INFER, {**tensor(BASE64), "outputs": [{"name": ["caption"]}]}, 400, "outputs of"),
        ("/v2/models/resnet/infer", tensor(BASE64), 404, "'resnet'"),
    ],
)
def test_each_error_is_in_its_api_s_shape(
    client: FlaskClient, path: str, body: dict[str, Any], status: int, says: str
) -> None:
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    if status >= 400:
        message = error(path, response.get_json())
        assert says in message
        assert message.endswith(".")


@pytest.mark.parametrize("path", ["/api/generate", "/v1/chat/completions", INFER])
@pytest.mark.parametrize(
    "body", [b"", b"no", b"[]", b"\xff", b"[" * 100_000, b"[[]" + b",[]" * 99_999]
)
def test_what_is_no_object_is_refused(client: FlaskClient, path: str, body: bytes) -> None:
    response = client.post(path, data=body)
    assert response.status_code == 400
    assert "JSON object" in error(path, response.get_json())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/generate", GENERATE),
        ("/v1/chat/completions", chat(DATA_URI)),
        (INFER, tensor(BASE64)),
    ],
)
@pytest.mark.parametrize(
    ("answer", "status"), [((415, "UnsupportedImage"), 415), ((503, "Unavailable"), 503)]
)
def test_what_torchserve_refuses_is_refused_in_that_shape(
    client: FlaskClient,
    torchserve: FakeTorchServe,
    path: str,
    body: dict[str, Any],
    answer: tuple[int, str],
    status: int,
) -> None:
    code, type_ = answer
    torchserve.reply(code, {"code": code, "type": type_, "message": "In its words."})
    response = client.post(path, json=body, headers={"X-Request-ID": "mine"})
    assert response.status_code == status
    assert error(path, response.get_json())
    assert response.headers["X-Request-ID"] == "mine"
    assert ("Retry-After" in response.headers) is (status == 503)


def test_a_picture_in_base64_may_be_as_large_as_any_other(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe
) -> None:
    client = make_app(MAX_UPLOAD_MB=0.001).test_client()
    limit = client.application.extensions["settings"].max_upload_bytes
    for size, status in ((limit, 200), (limit + 1, 413)):
        text = base64.b64encode(bytes(size)).decode()
        for path, body in (
            ("/api/generate", {**GENERATE, "images": [text]}),
            ("/v1/chat/completions", chat(f"data:image/png;base64,{text}")),
            (INFER, tensor(text)),
        ):
            assert client.post(path, json=body).status_code == status, path
    assert all(len(seen.body) == limit for seen in torchserve.seen if seen.method == "POST")
    # What is larger than any picture in base64 is refused before it is read.
    response = client.post("/api/generate", data=b"x" * 400_000)
    assert response.status_code == 413
    assert error("/api/generate", response.get_json())


def test_base64_in_lines_and_as_a_data_uri_is_taken(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    for text in (f"{BASE64[:8]}\r\n{BASE64[8:]}\n", DATA_URI):
        response = client.post("/api/generate", json={**GENERATE, "images": [text]})
        assert response.status_code == 200, response.text
        assert torchserve.seen[-1].body == PICTURE


def test_each_picture_counts_as_an_upload(make_app: Callable[..., Flask]) -> None:
    client = make_app(RATE_LIMIT="3 per hour").test_client()
    two = {**GENERATE, "images": [BASE64, BASE64]}
    assert [client.post("/api/generate", json=two).status_code for _ in "12"] == [200, 429]


def test_lengths_and_numbers_reach_the_model(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    client.post("/v1/chat/completions", json=chat(DATA_URI, n=2, max_completion_tokens=9999))
    assert torchserve.seen[-1].headers["X-Num-Captions"] == "2"
    assert torchserve.seen[-1].headers["X-Max-Length"] == "50"
    client.post("/api/generate", json={**GENERATE, "options": {"num_predict": 6}})
    assert torchserve.seen[-1].headers["X-Max-Length"] == "6"
    answer = client.post("/api/generate", json={**GENERATE, "options": {"num_predict": -1}})
    assert "X-Max-Length" not in torchserve.seen[-1].headers
    assert answer.get_json()["done_reason"] == "stop"
    body = {**tensor(BASE64), "parameters": {"beam_size": 4}}
    client.post("/v2/models/captioner/versions/1.0/infer", json=body)
    assert torchserve.seen[-1].headers["X-Beam-Size"] == "4"
    assert torchserve.seen[-1].path == "/predictions/captioner/1.0"


def test_a_caption_that_had_to_end_says_so(client: FlaskClient) -> None:
    (choice,) = client.post("/v1/chat/completions", json=chat(DATA_URI, max_tokens=6)).get_json()[
        "choices"
    ]
    assert choice["finish_reason"] == "length"


def test_the_words_of_a_stream_are_the_whole(client: FlaskClient) -> None:
    lines = client.post("/api/generate", json={**GENERATE, "stream": True}).text.splitlines()
    words = [json.loads(line) for line in lines]
    assert "".join(word["response"] for word in words) == ANSWER["caption"]
    assert [word["done"] for word in words] == [False] * (len(words) - 1) + [True]


def test_only_the_last_message_with_pictures_is_answered(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    said = {"role": "assistant", "content": "a dog"}
    messages = [openai_message(DATA_URI), said, openai_message(DATA_URI), openai_message()]
    before = len(torchserve.seen)
    client.post("/v1/chat/completions", json={"model": "captioner", "messages": messages})
    assert len(torchserve.seen) - before == 1


@pytest.mark.parametrize(
    ("header", "binary"),
    [
        ("x", b""),
        ("99999", b""),
        (None, struct.pack("<I", 99) + b"short"),
        (None, b"\1\0"),
        (None, struct.pack("<I", 0)),
        (None, struct.pack("<I", 2**31) + b"x"),
    ],
)
def test_a_binary_tensor_that_is_cut_is_refused(
    client: FlaskClient, header: str | None, binary: bytes
) -> None:
    described = tensor(parameters={"binary_data_size": len(binary)}, shape=[1])
    head = json.dumps(described).encode()
    response = client.post(INFER, data=head + binary, headers={HEADER: header or str(len(head))})
    assert response.status_code in (400, 413), response.text
    assert error(INFER, response.get_json())


def test_binary_and_json_say_the_same(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    element = struct.pack("<I", len(PICTURE)) + PICTURE
    described = tensor(parameters={"binary_data_size": len(element)}, shape=[1, 1])
    del described["inputs"][0]["data"]
    described["outputs"] = [
        {"name": "caption", "parameters": {"binary_data": True}},
        {"name": "confidence"},
    ]
    head = json.dumps(described).encode()
    response = client.post(INFER, data=head + element, headers={HEADER: str(len(head))})
    assert torchserve.seen[-1].body == PICTURE
    length = int(response.headers[HEADER])
    caption, confidence = json.loads(response.data[:length])["outputs"]
    text = ANSWER["caption"].encode()
    assert response.data[length:] == struct.pack("<I", len(text)) + text
    assert caption["parameters"]["binary_data_size"] == 4 + len(text)
    assert confidence["data"] == [ANSWER["captions"][0]["confidence"]]
