"""The package `openai` against the running service, and what bots and taggers send."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests
from pydantic import BaseModel

from tests.e2e.client import COFFEE, TIMEOUT_S
from tests.e2e.conftest import Service
from tests.e2e.service.conftest import Guarded
from tests.webui.protocols.test_filling import LABELS

MODEL = "captioner"
URI = f"data:image/jpeg;base64,{base64.b64encode(COFFEE).decode()}"
BROKEN = f"data:image/jpeg;base64,{base64.b64encode(b'no picture').decode()}"


def message(*addresses: str) -> Any:
    images = [{"type": "image_url", "image_url": {"url": one}} for one in addresses]
    return [{"role": "user", "content": [{"type": "text", "text": "Alt text?"}, *images]}]


def inputs(address: str) -> Any:
    image = {"type": "input_image", "image_url": address, "detail": "low"}
    return [{"role": "user", "content": [{"type": "input_text", "text": "Alt text?"}, image]}]


def asking(url: str, key: str = "any") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=TIMEOUT_S)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[openai.OpenAI]:
    with asking(service.page_url) as client:
        yield client


@pytest.fixture(scope="module")
def answer(service: Service) -> dict[str, Any]:
    """What POST /api/captions answers about the same picture, with three captions."""
    response = requests.post(
        f"{service.page_url}/api/captions",
        files={"image": ("coffee.jpg", COFFEE)},
        data={"num_captions": "3"},
        timeout=TIMEOUT_S,
    )
    return dict(response.json())


def test_captions_are_those_of_our_own_api(client: openai.OpenAI, answer: dict[str, Any]) -> None:
    made = client.chat.completions.create(
        model=MODEL, messages=message(URI), n=3, logprobs=True, max_tokens=300
    )
    texts = [choice.message.content for choice in made.choices]
    assert texts == [one["caption"] for one in answer["captions"]]
    first = made.choices[0]
    assert first.finish_reason == "stop"
    assert first.logprobs
    words = first.logprobs.content or []
    assert "".join(word.token for word in words) == texts[0]
    sums = math.fsum(word.logprob for word in words)
    product = math.prod(word["probability"] for word in answer["captions"][0]["words"])
    assert sums == pytest.approx(math.log(product))


def test_a_stream_has_the_words_and_an_end(client: openai.OpenAI, answer: dict[str, Any]) -> None:
    parts = list(
        client.chat.completions.create(
            model=MODEL,
            messages=message(URI),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    words = [part.choices[0].delta.content or "" for part in parts if part.choices]
    assert len(words) > 3
    assert "".join(words) == answer["caption"]
    assert parts[-2].choices[0].finish_reason == "stop"
    assert parts[-1].usage


def test_several_pictures_have_a_line_each(client: openai.OpenAI, answer: dict[str, Any]) -> None:
    made = client.chat.completions.create(model=MODEL, messages=message(URI, URI))
    text = made.choices[0].message.content or ""
    assert text.split("\n") == [answer["caption"]] * 2


def test_responses_are_the_same(client: openai.OpenAI, answer: dict[str, Any]) -> None:
    made = client.responses.create(model=MODEL, input=inputs(URI))
    assert made.output_text == answer["caption"]
    assert made.status == "completed"
    with client.responses.stream(model=MODEL, input=inputs(URI)) as stream:
        words = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert stream.get_final_response().output_text == answer["caption"]
    assert "".join(words) == answer["caption"]
    short = client.responses.create(model=MODEL, input=inputs(URI), max_output_tokens=2)
    assert short.status == "incomplete"


class Described(BaseModel):
    """What a program may want of a picture."""

    caption: str
    tags: list[str]
    confidence: float


def test_an_object_has_what_its_schema_asks_for(
    client: openai.OpenAI, answer: dict[str, Any]
) -> None:
    made = client.chat.completions.parse(
        model=MODEL, messages=message(URI), response_format=Described
    )
    wanted = Described(
        caption=answer["caption"],
        tags=[tag["word"] for tag in answer["tags"]],
        confidence=answer["captions"][0]["confidence"],
    )
    assert made.choices[0].message.parsed == wanted
    parsed = client.responses.parse(model=MODEL, input=inputs(URI), text_format=Described)
    assert parsed.output_parsed == wanted


def test_models_are_listed(client: openai.OpenAI, answer: dict[str, Any]) -> None:
    version = f"{MODEL}:{answer['model']['version']}"
    assert {MODEL, version} <= {one.id for one in client.models.list()}
    assert client.models.retrieve(version).id == version
    made = client.chat.completions.create(model=version, messages=message(URI))
    assert made.choices[0].message.content == answer["caption"]


@pytest.mark.parametrize(
    ("model", "address", "status", "says"),
    [
        (MODEL, BROKEN, 415, "JPEG"),
        (MODEL, None, 400, "does not chat"),
        (MODEL, "https://photos.example/p.jpg", 400, "not fetched from"),
        ("gpt-4o", URI, 404, "'gpt-4o'"),
    ],
)
def test_errors_are_read_as_openai_s(
    client: openai.OpenAI, model: str, address: str | None, status: int, says: str
) -> None:
    given = [address] if address else []
    with pytest.raises(openai.APIStatusError, match=says) as caught:
        client.chat.completions.create(model=model, messages=message(*given))
    assert caught.value.status_code == status
    assert caught.value.request_id


def test_a_wrong_key_and_too_many_requests(guarded: Guarded) -> None:
    def ask(key: str) -> Any:
        with asking(guarded.url, key) as client:
            made = client.chat.completions.create(model=MODEL, messages=message(URI))
            return made.choices[0].message.content

    assert ask(guarded.key) == ask(guarded.once["openai"])
    with pytest.raises(openai.AuthenticationError):
        ask("cap_wrong")
    with pytest.raises(openai.RateLimitError):
        ask(guarded.once["openai"])


# What a Fediverse bot (Altbot with its provider "transformers"), TagGUI's fork taggui-video and the
# extension of TagGUI in its issue 360 send: as their source describes it.
BOT = {"model": MODEL, "messages": message(URI)}
FORK = {
    "model": MODEL,
    "messages": [
        {"role": "system", "content": "You are a captioner."},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": URI}},
                {"type": "text", "text": "Describe the image in one sentence."},
            ],
        },
    ],
    "max_tokens": 4096,
    "temperature": 1.0,
    "top_p": 1.0,
}
EXTENSION = {**FORK, "max_tokens": 100, "frequency_penalty": 0.0, "stop": []}


@pytest.mark.parametrize("body", [BOT, FORK, EXTENSION], ids=["bot", "fork", "extension"])
def test_bots_and_taggers_find_the_caption_where_they_look(
    service: Service, answer: dict[str, Any], body: dict[str, Any]
) -> None:
    url = f"{service.page_url}/v1/chat/completions"
    response = requests.post(url, json=body, timeout=TIMEOUT_S).json()
    assert response["choices"][0]["message"]["content"] == answer["caption"]


def test_the_bot_finds_a_server_that_lives(service: Service) -> None:
    """Where it finds none, it starts its own."""
    assert requests.get(f"{service.page_url}/health", timeout=TIMEOUT_S).status_code == 200


def test_photoprism_s_engine_openai_gets_labels(service: Service, answer: dict[str, Any]) -> None:
    text = {"type": "input_text", "text": "Analyze the image."}
    image = {"type": "input_image", "image_url": URI, "detail": "low"}
    schema = {"type": "json_schema", "name": "labels", "schema": LABELS, "strict": True}
    body = {
        "model": MODEL,
        "input": [
            {"role": "system", "type": "message", "content": [text]},
            {"role": "user", "type": "message", "content": [text, image]},
        ],
        "text": {"format": schema},
        "max_output_tokens": 1024,
    }
    url = f"{service.page_url}/v1/responses"
    response = requests.post(url, json=body, timeout=TIMEOUT_S).json()
    # It takes the first text of the output for an object with labels.
    labels = json.loads(response["output"][0]["content"][0]["text"])["labels"]
    assert [one["name"] for one in labels] == [tag["word"] for tag in answer["tags"]]
    assert all(0 < one["confidence"] == one["topicality"] <= 1 for one in labels)
