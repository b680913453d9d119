"""What the lists of models say of each version, adopted ones among them."""

from __future__ import annotations

import json

from flask.testing import FlaskClient

from tests.webui.fake_management import write_archive
from tests.webui.fake_torchserve import FakeTorchServe
from tests.webui.protocols.sending import chat

CARD = {
    "description": "acme/blip-base: describes a picture in one sentence.",
    "encoder": "blip",
    "decoder": "blip",
    "parameters": 247_414_076,
    "licence": "bsd-3-clause",
    "adopted": {"from": "acme/blip-base", "revision": None},
}


def test_an_adopted_model_says_what_it_is(client: FlaskClient, torchserve: FakeTorchServe) -> None:
    store = torchserve.models.store
    write_archive(store / "blip.mar", version="blip", model_card__json=json.dumps(CARD))
    write_archive(store / "odd.mar", version="odd", model_card__json='{"adopted": 7, "encoder": 7}')
    torchserve.models.load("captioner.mar", "blip.mar", "odd.mar")

    models = {one["id"]: one for one in client.get("/v1/models").get_json()["data"]}
    versions = [f"captioner:{one}" for one in ("blip", "odd", "1.0")]
    assert list(models) == ["captioner", *versions]
    assert models["captioner"]["owned_by"] == models["captioner:odd"]["owned_by"] == "captionize"
    assert models["captioner:blip"]["owned_by"] == "acme/blip-base"
    assert client.get("/v1/models/captioner:blip").get_json() == models["captioner:blip"]

    tags = {one["name"]: one["details"] for one in client.get("/api/tags").get_json()["models"]}
    assert list(tags) == ["captioner:latest", *versions]
    blip = tags["captioner:blip"]
    assert (blip["family"], blip["families"]) == ("blip", ["blip"])
    assert (blip["parent_model"], blip["parameter_size"]) == ("acme/blip-base", "247.4M")
    assert tags["captioner:odd"]["family"] == "7"
    shown = client.post("/api/show", json={"model": "captioner:blip"}).get_json()
    assert shown["license"] == CARD["licence"]
    assert shown["model_info"]["general.architecture"] == "blip"
    assert shown["model_info"]["general.description"].startswith("acme/blip-base")

    address = "data:image/jpeg;base64,aGVsbG8="
    client.post("/v1/chat/completions", json=chat(address, model="captioner:blip"))
    assert torchserve.seen[-1].path == "/predictions/captioner/blip"
