"""The operations page and its API: who may see the snapshot, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask
from flask.testing import FlaskClient

from tests.webui import specified
from tests.webui.administration import BEARER, HASH, TOKEN, check, log_in
from tests.webui.fake_torchserve import FakeTorchServe
from tests.webui.told_by_torchserve import ON_GPU, VERSION

API = "/api/operations"


def test_the_administrator_sees_it_by_token_and_by_session(make_app: Callable[..., Flask]) -> None:
    app = make_app(ADMIN_TOKEN=TOKEN, ADMIN_PASSWORD_HASH=HASH)
    assert app.test_client().get(API, headers=BEARER).status_code == 200
    client = app.test_client()
    check(client.get(API), 401, "NotAuthenticated")
    log_in(client)
    assert client.get(API).status_code == 200


def test_without_an_administrator_nobody_sees_it(client: FlaskClient) -> None:
    check(client.get(API), 403, "AdministratorOff")
    assert client.get("/operations").status_code == 200


def test_the_snapshot_fits_its_specification(
    administrator: FlaskClient, torchserve: FakeTorchServe
) -> None:
    on_gpu = [{**one, "gpu": True, "gpuUsage": ON_GPU} for one in VERSION["workers"]]
    torchserve.versions = [VERSION, {**VERSION, "modelVersion": "2.0", "workers": on_gpu}]
    response = administrator.get(API)
    specified.check_answer(API, response)
    body = response.get_json()
    assert [one["version"] for one in body["versions"]] == ["1.1", "2.0"]
    assert (body["now"]["waiting"], body["now"]["places"]) == (8, 128)
    assert [one["gpus"] for one in body["versions"]] == [[], [ON_GPU]]
    assert "pid" not in body["versions"][0]["workers"][0]


def test_an_answer_that_is_not_understood_is_a_cause_without_its_text(
    administrator: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.versions = [{"modelName": "captioner"}]
    health = administrator.get(API).get_json()["health"]
    assert health["state"] == "bad"
    assert "ManagementFailed" in health["cause"]
    assert "modelName" not in health["cause"]
