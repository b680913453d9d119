"""The administrator's API over the fake TorchServe: what is done, refused, undone and recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.administration import BEARER, HASH, TOKEN, check, form_token, log_in, wait_for_job
from tests.webui.fake_management import write_archive
from tests.webui.fake_torchserve import FakeTorchServe
from webui.versions import deployment

MakeApp = Callable[..., Flask]
CARD = '{"encoder": "drawn", "date": "2026-01-01", "scores": {"cider": 0.5}, "secret": 1}'


class Admin:
    """Calls with the token."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        extra = {} if body is None else {"json": body}
        return self.client.open(f"/api{path}", method=method, headers=BEARER, **extra)

    def job(self, method: str, path: str, body: object) -> dict[str, Any]:
        return wait_for_job(self.client, self(method, path, body))

    def model(self) -> dict[str, Any]:
        [model] = self("GET", "/models").get_json()["models"]
        return dict(model)

    def audit(self) -> list[dict[str, Any]]:
        return list(self("GET", "/audit").get_json()["audit"])


@pytest.fixture
def admin(make_app: MakeApp, torchserve: FakeTorchServe, monkeypatch: pytest.MonkeyPatch) -> Admin:
    """The administrator of captioner 1.0, with an archive of 2.0 in the model store."""
    monkeypatch.setattr(deployment, "POLL_S", 0.01)
    write_archive(torchserve.models.store / "second.mar", model_card__json=CARD)
    return Admin(make_app(ADMIN_TOKEN=TOKEN, ADMIN_PASSWORD_HASH=HASH).test_client())


@pytest.fixture
def second(admin: Admin) -> Admin:
    """The administrator with version 2.0 registered and ready."""
    assert admin.job("POST", "/models", {"archive": "second.mar"})["state"] == "done"
    return admin


def test_the_models_are_listed(second: Admin) -> None:
    model = second.model()
    assert (model["name"], model["default"], model["previous_default"]) == (
        "captioner",
        "1.0",
        None,
    )
    first, other = model["versions"]
    assert first["default"]
    assert first["card"] == {"encoder": "drawn"}, "a worker's, where there is no archive"
    assert other == {
        "version": "2.0",
        "default": False,
        "archive": "second.mar",
        "workers": [
            {
                "id": "9000",
                "state": "READY",
                "memory_bytes": None,
                "gpu": False,
                "started": "2026-01-01T00:00:00.000Z",
            }
        ],
        "min_workers": 1,
        "max_workers": 1,
        "batch_size": 1,
        "max_batch_delay_ms": 100,
        "queue": {"remaining": 64, "pending": 0},
        "card": {"encoder": "drawn", "date": "2026-01-01", "scores": {"cider": 0.5}},
    }
    assert second("GET", "/models/captioner/2.0").get_json() == other


def test_anybody_may_know_the_versions(second: Admin) -> None:
    assert second.client.get("/api/versions").get_json() == {
        "model": "captioner",
        "default": "1.0",
        "versions": [
            {"version": "1.0", "default": True, "ready": True},
            {"version": "2.0", "default": False, "ready": True},
        ],
    }


def test_registering_is_a_job(admin: Admin) -> None:
    body = {"archive": "second.mar", "workers": 2, "batch_size": 4, "max_batch_delay": 20}
    job = admin.job("POST", "/models", body)
    assert (job["action"], job["model"], job["version"]) == ("register", "captioner", "2.0")
    assert (job["state"], job["message"]) == (
        "done",
        "captioner 2.0 is registered with 2 workers.",
    )
    assert job["started"] <= job["finished"]
    assert admin("GET", "/jobs").get_json()["jobs"] == [job]
    version = admin.model()["versions"][1]
    assert (len(version["workers"]), version["batch_size"]) == (2, 4)
    [entry] = admin.audit()
    assert entry | {"time": ""} == {
        "time": "",
        "actor": "token",
        "address": "127.0.0.1",
        "action": "register",
        "model": "captioner",
        "version": "2.0",
        "outcome": "done",
        "message": "captioner 2.0 is registered with 2 workers.",
    }


def test_workers_that_crash_are_undone_with_the_reason(
    make_app: MakeApp,
    torchserve: FakeTorchServe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deployment, "POLL_S", 0.01)
    log = tmp_path / "model_log.log"
    before = "W-9000-captioner_2.0-stdout MODEL_LOG - OSError: of an earlier start\n"
    log.write_text(
        f"{before}W-9001-captioner_2.0-stdout MODEL_LOG - ValueError: bad weights\n"
        "W-9000-captioner_1.0-stdout MODEL_LOG - KeyError: of another version\n"
    )
    monkeypatch.setattr(deployment.worker_log, "end", lambda _: len(before))
    write_archive(torchserve.models.store / "second.mar")
    torchserve.models.broken = {"second.mar"}
    admin = Admin(make_app(ADMIN_TOKEN=TOKEN, MODEL_LOG=str(log)).test_client())
    job = admin.job("POST", "/models", {"archive": "second.mar"})
    assert (job["state"], job["message"]) == (
        "failed",
        "The workers of captioner 2.0 crash while starting: ValueError: bad weights. "
        "What was begun is undone.",
    )
    assert [one["version"] for one in admin.model()["versions"]] == ["1.0"]
    assert admin.audit()[0]["outcome"] == "failed"


def test_workers_that_take_too_long_are_undone(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "START_S", 0.0)
    job = admin.job("POST", "/models", {"archive": "second.mar"})
    assert job["state"] == "failed"
    assert "were ready after 0 s" in job["message"]
    assert [one["version"] for one in admin.model()["versions"]] == ["1.0"]


def test_scaling_goes_up_and_down(second: Admin) -> None:
    for workers in (3, 1, 0):
        job = second.job("PUT", "/models/captioner/2.0/workers", {"workers": workers})
        assert job["state"] == "done", job
        assert len(second.model()["versions"][1]["workers"]) == workers
    assert second.job("PUT", "/models/captioner/2.0", {"workers": 1})["state"] == "done"


def test_scaling_that_fails_goes_back(second: Admin, torchserve: FakeTorchServe) -> None:
    torchserve.models.versions["captioner"]["2.0"].crashes = True
    job = second.job("PUT", "/models/captioner/2.0/workers", {"workers": 3})
    assert job["state"] == "failed"
    assert second.model()["versions"][1]["max_workers"] == 1


def test_the_default_keeps_a_worker(admin: Admin) -> None:
    response = admin("PUT", "/models/captioner/1.0/workers", {"workers": 0})
    check(response, 409, "DefaultVersion", "without workers there are no captions")
    assert (admin.audit()[0]["action"], admin.audit()[0]["outcome"]) == ("scale", "refused")


def test_one_job_for_a_version_at_a_time(
    admin: Admin, torchserve: FakeTorchServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    register = deployment.Management.register

    def slow(self: Any, *args: Any, **kwargs: Any) -> Any:
        assert go.wait(10)
        return register(self, *args, **kwargs)

    monkeypatch.setattr(deployment.Management, "register", slow)
    first = admin("POST", "/models", {"archive": "second.mar"})
    again = admin("POST", "/models", {"archive": "second.mar"})
    check(again, 409, "JobUnderWay", "captioner 2.0")
    check(admin("DELETE", "/models/captioner/2.0"), 409, "JobUnderWay")
    go.set()
    assert wait_for_job(admin.client, first)["state"] == "done"


def test_the_default_goes_there_and_back(second: Admin) -> None:
    for path, body in (("/default", None), ("", {"default": True})):
        response = second("PUT", f"/models/captioner/2.0{path}", body)
        assert response.status_code == 200
        assert response.get_json()["previous_default"] == "1.0"
        assert second("POST", "/models/captioner/rollback").get_json()["default"] == "1.0"
    assert second("POST", "/models/captioner/rollback").get_json()["default"] == "2.0"
    assert [one["action"] for one in second.audit()[:3]] == ["rollback", "rollback", "default"]


def test_without_a_previous_default_nothing_is_rolled_back(second: Admin) -> None:
    check(second("POST", "/models/captioner/rollback"), 409, "NoPreviousDefault")
    assert (second.audit()[0]["action"], second.audit()[0]["outcome"]) == ("rollback", "refused")
    second("PUT", "/models/captioner/2.0/default")
    second("POST", "/models/captioner/rollback")
    second("DELETE", "/models/captioner/2.0")
    check(second("POST", "/models/captioner/rollback"), 409, "NoPreviousDefault")


def test_a_version_that_cannot_caption_does_not_become_the_default(second: Admin) -> None:
    second.job("PUT", "/models/captioner/2.0/workers", {"workers": 0})
    check(second("PUT", "/models/captioner/2.0/default"), 409, "NotReady", "2.0")
    assert second.model()["default"] == "1.0"
    assert second.audit()[0]["outcome"] == "refused"


def test_the_default_is_not_unregistered(second: Admin, torchserve: FakeTorchServe) -> None:
    response = second("DELETE", "/models/captioner/1.0")
    check(response, 403, "DefaultVersion", "Make another version the default first")
    assert second("DELETE", "/models/captioner/2.0").status_code == 204
    response = second("DELETE", "/models/captioner/1.0")
    check(response, 403, "DefaultVersion", "the only version")
    assert (torchserve.models.store / "second.mar").exists()


def test_what_is_remembered_survives_a_restart_of_the_page(
    make_app: MakeApp, second: Admin, tmp_path: Path
) -> None:
    config = {"ADMIN_TOKEN": TOKEN, "AUDIT_LOG": str(tmp_path / "audit.jsonl")}
    before = Admin(make_app(**config).test_client())
    before("PUT", "/models/captioner/2.0/default")
    before("PUT", "/canary", {"version": "1.0", "share": 0.25})
    after = Admin(make_app(**config).test_client())
    assert after.model()["previous_default"] == "1.0"
    assert after("GET", "/canary").get_json()["share"] == 0.25
    assert [one["action"] for one in after.audit()] == ["canary", "default"]


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", "/models", None, "a JSON object"),
        ("POST", "/models", [], "a JSON object"),
        ("POST", "/models", {}, "a text for archive, got null"),
        ("POST", "/models", {"archive": "../x.mar"}, "Expected a file name"),
        ("POST", "/models", {"archive": "second.mar", "url": "x"}, "got also 'url'"),
        ("POST", "/models", {"archive": "second.mar", "workers": 65}, "0 to 64 for workers"),
        ("POST", "/models", {"archive": "second.mar", "workers": True}, "got true"),
        ("POST", "/models", {"archive": "second.mar", "batch_size": 0}, "1 to 1024"),
        ("POST", "/models", {"archive": "second.mar", "batch_size": "4"}, 'got "4"'),
        ("PUT", "/models/captioner/1.0", {}, "one at a time"),
        ("PUT", "/models/captioner/1.0", {"default": True, "workers": 1}, "one at a time"),
        ("PUT", "/models/captioner/1.0", {"default": False}, "Expected true"),
        ("PUT", "/models/captioner/1.0/workers", {}, "Expected a number of workers"),
        ("PUT", "/canary", {"version": "1.0", "share": 1.5}, "got 1.5"),
        ("PUT", "/canary", {"version": "1.0", "share": 0}, "above 0"),
        ("PUT", "/canary", {"version": "1.0"}, "got null"),
        ("PUT", "/canary", {"share": 0.1}, "a text for version"),
    ],
)
def test_a_wrong_body_is_named(
    admin: Admin, method: str, path: str, body: object, message: str
) -> None:
    response = admin(method, path, body)
    assert response.status_code == 400
    assert message in response.get_json()["message"]


def test_a_long_body_is_not_read(admin: Admin) -> None:
    body = {"left": "x" * 20_000}
    check(admin("PUT", "/canary", body), 413, "BodyTooLarge", "at most 16384 bytes")
    check(admin.client.post("/api/votes", json=body), 413, "BodyTooLarge")


@pytest.mark.parametrize(
    ("method", "path", "body", "type_"),
    [
        ("POST", "/models", {"archive": "nothing.mar"}, "NoSuchArchive"),
        ("GET", "/models/nothing/1.0", None, "NoSuchVersion"),
        ("GET", "/models/captioner/9", None, "NoSuchVersion"),
        ("GET", "/models/captioner/token", None, "NoSuchVersion"),
        ("GET", "/models/captioner/1.0%3Fx", None, "NoSuchVersion"),
        ("DELETE", "/models/captioner/9", None, "NoSuchVersion"),
        ("PUT", "/models/captioner/9/default", None, "NoSuchVersion"),
        ("PUT", "/models/captioner/9/workers", {"workers": 1}, "NoSuchVersion"),
        ("POST", "/models/nothing/rollback", None, "NoSuchVersion"),
        ("PUT", "/canary", {"version": "9", "share": 0.1}, "NoSuchVersion"),
        ("GET", "/jobs/nothing", None, "NoSuchJob"),
    ],
)
def test_what_is_not_there_is_404(
    admin: Admin, method: str, path: str, body: object, type_: str
) -> None:
    check(admin(method, path, body), 404, type_)


def test_without_torchserve_every_answer_says_so(admin: Admin, torchserve: FakeTorchServe) -> None:
    torchserve.stop()
    for method, path in [("GET", "/models"), ("GET", "/archives"), ("DELETE", "/models/m/1")]:
        check(admin(method, path), 502, "CaptioningAway", "cannot be reached")
    assert admin("GET", "/audit").status_code == 200
    assert admin("GET", "/canary").status_code == 200
    check(admin.client.get("/api/versions"), 502, "CaptioningAway")


def test_the_page_s_session_may_do_it_too(second: Admin) -> None:
    client = second.client
    log_in(client)
    token = {"X-CSRFToken": form_token(client, "/versions")}
    response = client.put("/api/models/captioner/2.0/default", headers=token)
    assert response.get_json()["default"] == "2.0"
    assert second.audit()[0]["actor"] == "password"
