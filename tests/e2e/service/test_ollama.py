"""The package `ollama` against the running service, and what PhotoPrism sends to Ollama."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import ollama
import pytest
import requests

from tests.e2e.client import COFFEE, TIMEOUT_S
from tests.e2e.conftest import Service
from tests.e2e.service.conftest import Guarded

MODEL = "captioner"
BASE64 = base64.b64encode(COFFEE).decode()


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[ollama.Client]:
    with ollama.Client(service.page_url) as client:
        yield client


@pytest.fixture(scope="module")
def answer(service: Service) -> dict[str, Any]:
    """What POST /api/captions answers about the same picture."""
    files = {"image": ("coffee.jpg", COFFEE)}
    response = requests.post(f"{service.page_url}/api/captions", files=files, timeout=TIMEOUT_S)
    return dict(response.json())


def test_a_caption_is_that_of_our_own_api(client: ollama.Client, answer: dict[str, Any]) -> None:
    made = client.generate(MODEL, "Describe this.", images=[COFFEE])
    assert made.response == answer["caption"]
    assert made.done
    messages = [{"role": "user", "content": "Describe this.", "images": [COFFEE]}]
    said = client.chat(MODEL, messages)
    assert said.message.content == answer["caption"]
    words = [part.response for part in client.generate(MODEL, images=[COFFEE], stream=True)]
    assert len(words) > 2
    assert "".join(words) == answer["caption"]
    parts = client.chat(f"{MODEL}:latest", messages, stream=True)
    assert "".join(part.message.content or "" for part in parts) == answer["caption"]


def test_several_pictures_have_a_line_each(client: ollama.Client, answer: dict[str, Any]) -> None:
    made = client.generate(MODEL, images=[COFFEE, COFFEE])
    assert made.response.split("\n") == [answer["caption"]] * 2


def test_models_are_listed_and_described(client: ollama.Client, answer: dict[str, Any]) -> None:
    version = answer["model"]["version"]
    names = [one.model for one in client.list().models]
    assert {f"{MODEL}:latest", f"{MODEL}:{version}"} <= set(names)
    assert f"{MODEL}:{version}" in [one.model for one in client.ps().models]
    shown = client.show(MODEL)
    assert "vision" in (shown.capabilities or [])
    assert "no prompt" in (shown.modelfile or "")
    assert client.generate(f"{MODEL}:{version}", images=[COFFEE]).response == answer["caption"]


def test_an_object_has_what_its_schema_asks_for(
    client: ollama.Client, answer: dict[str, Any]
) -> None:
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    names = {"caption": text, "tags": texts, "alternatives": texts}
    names["confidence"] = {"type": "number"}
    schema = {"type": "object", "properties": names, "required": list(names)}
    made = client.generate(MODEL, images=[COFFEE], format=schema).response
    found = json.loads(made)
    assert found["caption"] == answer["caption"]
    assert found["tags"] == [tag["word"] for tag in answer["tags"]]
    assert found["confidence"] == answer["captions"][0]["confidence"]
    assert found["alternatives"] == [one["caption"] for one in answer["captions"][1:]]


@pytest.mark.parametrize(
    ("request_", "status", "says"),
    [
        ({"model": MODEL, "images": [b"no picture"]}, 415, "JPEG"),
        ({"model": MODEL, "prompt": "Hello?"}, 400, "does not chat"),
        ({"model": "llava", "images": [COFFEE]}, 404, "'llava'"),
        ({"model": f"{MODEL}:0.0", "images": [COFFEE]}, 404, "0.0"),
    ],
)
def test_errors_are_read_as_ollama_s(
    client: ollama.Client, request_: dict[str, Any], status: int, says: str
) -> None:
    with pytest.raises(ollama.ResponseError, match=says) as caught:
        client.generate(**request_)
    assert caught.value.status_code == status


def test_a_wrong_key_and_too_many_requests(guarded: Guarded) -> None:
    def ask(key: str) -> str:
        headers = {"Authorization": f"Bearer {key}"}
        with ollama.Client(guarded.url, headers=headers) as client:
            return client.generate(MODEL, images=[COFFEE]).response

    assert ask(guarded.key) == ask(guarded.once["ollama"])
    for key, status in (("cap_wrong", 401), (guarded.once["ollama"], 429)):
        with pytest.raises(ollama.ResponseError) as caught:
            ask(key)
        assert caught.value.status_code == status


def test_an_ollama_is_there(service: Service) -> None:
    """What the command `ollama` asks first."""
    assert requests.head(f"{service.page_url}/", timeout=TIMEOUT_S).status_code == 200
    assert client_version(service) >= (0, 5), "from which on `format` may be a schema"


def client_version(service: Service) -> tuple[int, ...]:
    answered = requests.get(f"{service.page_url}/api/version", timeout=TIMEOUT_S).json()
    return tuple(map(int, answered["version"].split(".")))


# As its documentation and its source describe them; its pictures have 720 pixels.
PHOTOPRISM = {
    "id": "3487da77-246e-4b4c-9437-67507177bcd7",
    "model": "captioner:latest",
    "stream": False,
    "images": [BASE64],
    "options": {"temperature": 0.1},
}


def test_photoprism_gets_a_caption_and_labels(service: Service, answer: dict[str, Any]) -> None:
    def ask(**more: object) -> dict[str, Any]:
        url = f"{service.page_url}/api/generate"
        # Its requests have no type of ours to go by but what its HTTP client sets.
        response = requests.post(url, json={**PHOTOPRISM, **more}, timeout=TIMEOUT_S)
        assert response.status_code == 200, response.text
        return dict(response.json())

    caption = ask(prompt="Create a caption with exactly one sentence in the active voice.")
    assert caption["response"].strip() == answer["caption"]
    labels = ask(prompt="Return labels as JSON.", format="json", system="Use single-word nouns.")
    # It parses the text as an object with labels, each with a name and a confidence above 0.
    found = json.loads(labels["response"])["labels"]
    assert [one["name"] for one in found] == [tag["word"] for tag in answer["tags"]]
    assert all(0 < one["confidence"] <= 1 for one in found)
