"""Triton's client against the running service."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.e2e.client import COFFEE, TIMEOUT_S
from tests.e2e.conftest import Service
from tests.e2e.service.conftest import Guarded

MODEL = "captioner"


def tensor(*pictures: bytes) -> list[triton.InferInput]:
    image = triton.InferInput("image", [len(pictures)], "BYTES")
    image.set_data_from_numpy(np.array(pictures, dtype=np.object_))
    return [image]


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(service.page_url.removeprefix("http://"))
    yield client
    client.close()


@pytest.fixture(scope="module")
def answer(service: Service) -> dict[str, Any]:
    """What POST /api/captions answers about the same picture."""
    files = {"image": ("coffee.jpg", COFFEE)}
    response = requests.post(f"{service.page_url}/api/captions", files=files, timeout=TIMEOUT_S)
    return dict(response.json())


def test_captions_are_those_of_our_own_api(
    client: triton.InferenceServerClient, answer: dict[str, Any]
) -> None:
    made = client.infer(MODEL, tensor(COFFEE, COFFEE), request_id="mine")
    assert [one.decode() for one in made.as_numpy("caption")] == [answer["caption"]] * 2
    wanted = pytest.approx([answer["captions"][0]["confidence"]] * 2)
    assert list(made.as_numpy("confidence")) == wanted
    assert made.get_response()["id"] == "mine"
    assert made.get_response()["model_version"] == answer["model"]["version"]


def test_a_version_and_outputs_may_be_chosen(
    client: triton.InferenceServerClient, answer: dict[str, Any]
) -> None:
    made = client.infer(
        MODEL,
        tensor(COFFEE),
        model_version=answer["model"]["version"],
        outputs=[
            triton.InferRequestedOutput("answer"),
            triton.InferRequestedOutput("caption", binary_data=False),
        ],
    )
    assert json.loads(made.as_numpy("answer")[0]) == answer
    assert made.as_numpy("caption")[0] == answer["caption"]


def test_it_is_alive_ready_and_described(
    client: triton.InferenceServerClient, answer: dict[str, Any]
) -> None:
    version = answer["model"]["version"]
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, version)
    assert not client.is_model_ready(MODEL, "0.0")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    described = client.get_model_metadata(MODEL)
    assert version in described["versions"]
    assert described["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]


@pytest.mark.parametrize(
    ("model", "pictures", "status", "says"),
    [
        (MODEL, [b"no picture"], "415", "JPEG"),
        (MODEL, [b""], "400", "does not chat"),
        ("resnet", [COFFEE], "404", "'resnet'"),
    ],
)
def test_errors_are_read_as_the_protocol_s(
    client: triton.InferenceServerClient,
    model: str,
    pictures: list[bytes],
    status: str,
    says: str,
) -> None:
    with pytest.raises(InferenceServerException, match=says) as caught:
        client.infer(model, tensor(*pictures))
    assert caught.value.status() == status


def test_a_wrong_key_and_too_many_requests(guarded: Guarded) -> None:
    client = triton.InferenceServerClient(guarded.url.removeprefix("http://"))

    def ask(key: str) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        return client.infer(MODEL, tensor(COFFEE), headers=headers).as_numpy("caption")[0]

    assert ask(guarded.key) == ask(guarded.once["triton"])
    for key, status in (("cap_wrong", "401"), (guarded.once["triton"], "429")):
        with pytest.raises(InferenceServerException) as caught:
            ask(key)
        assert caught.value.status() == status
    client.close()


def test_kserve_s_json_is_taken(service: Service, answer: dict[str, Any]) -> None:
    """What KServe's own examples send: everything in JSON, bytes in base64."""
    data = [base64.b64encode(COFFEE).decode()]
    image = {"name": "image", "shape": [1], "datatype": "BYTES", "data": data}
    url = f"{service.page_url}/v2/models/{MODEL}/infer"
    made = requests.post(url, json={"inputs": [image]}, timeout=TIMEOUT_S).json()
    assert made["outputs"][0]["data"] == [answer["caption"]]
