"""Changes to the versions over the fake TorchServe: what is done, refused, undone and recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.webui.administration import TOKEN, Admin, check, wait_for_job
from tests.webui.fake_management import write_archive
from tests.webui.fake_torchserve import FakeTorchServe
from webui.torchserve import startup
from webui.torchserve.management import Management
from webui.versions import workers

MakeApp = Callable[..., Flask]


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
    assert entry | {"time": "", "id": ""} == {
        "time": "",
        "id": "",
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
    monkeypatch.setattr(workers, "POLL_S", 0.01)
    log = tmp_path / "model_log.log"
    log.write_text("W-9000-captioner_2.0-stdout MODEL_LOG - OSError: of an earlier start\n")
    scale = Management.scale

    def scale_and_log(self: Management, *asked: Any) -> None:
        with log.open("a") as later:
            later.write("W-9001-captioner_2.0-stdout MODEL_LOG - ValueError: bad weights\n")
            later.write("W-9000-captioner_1.0-stdout MODEL_LOG - KeyError: of another version\n")
        scale(self, *asked)

    monkeypatch.setattr(Management, "scale", scale_and_log)
    write_archive(torchserve.models.store / "second.mar")
    torchserve.models.broken = {"second.mar"}
    admin = Admin(make_app(ADMIN_TOKEN=TOKEN, MODEL_LOG=str(log)).test_client())
    job = admin.job("POST", "/models", {"archive": "second.mar"})
    assert job["state"] == "failed"
    assert "captioner 2.0 crash while starting: ValueError: bad weights." in job["message"]
    assert [one["version"] for one in admin.model()["versions"]] == ["1.0"]
    assert admin.audit()[0]["outcome"] == "failed"


def test_workers_that_take_too_long_are_undone(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "START_S", 0.0)
    job = admin.job("POST", "/models", {"archive": "second.mar"})
    assert job["state"] == "failed"
    assert "were ready after 0 s" in job["message"]
    assert [one["version"] for one in admin.model()["versions"]] == ["1.0"]


def test_scaling_goes_up_and_down(second: Admin) -> None:
    for wanted in (3, 1, 0):
        job = second.job("PUT", "/models/captioner/2.0/workers", {"workers": wanted})
        assert job["state"] == "done", job
        assert len(second.model()["versions"][1]["workers"]) == wanted
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
    register = Management.register

    def slow(self: Any, *args: Any, **kwargs: Any) -> Any:
        assert go.wait(10)
        return register(self, *args, **kwargs)

    monkeypatch.setattr(Management, "register", slow)
    first = admin("POST", "/models", {"archive": "second.mar"})
    again = admin("POST", "/models", {"archive": "second.mar"})
    check(again, 409, "JobUnderWay", "captioner 2.0")
    check(admin("DELETE", "/models/captioner/2.0"), 409, "JobUnderWay")
    go.set()
    assert wait_for_job(admin.client, first)["state"] == "done"


def roll_back(admin: Admin) -> str:
    """Roll back; the default then."""
    return str(admin("POST", "/models/captioner/rollback").get_json()["default"])


@pytest.mark.parametrize(("path", "body"), [("/default", None), ("", {"default": True})])
def test_the_default_goes_there_and_back(second: Admin, path: str, body: object) -> None:
    response = second("PUT", f"/models/captioner/2.0{path}", body)
    assert response.status_code == 200
    assert response.get_json()["previous_default"] == "1.0"
    assert roll_back(second) == "1.0"
    assert [one["action"] for one in second.audit()[:2]] == ["rollback", "default"]


def test_what_was_rolled_back_from_is_not_offered_again(
    second: Admin, torchserve: FakeTorchServe
) -> None:
    write_archive(torchserve.models.store / "third.mar", version="3.0")
    second.job("POST", "/models", {"archive": "third.mar"})
    for version in ("2.0", "3.0", "3.0"):
        second("PUT", f"/models/captioner/{version}/default")
    assert roll_back(second) == "2.0"
    assert second.model()["previous_default"] == "1.0", "not 3.0, which was just rejected"
    assert roll_back(second) == "1.0"
    assert second.model()["previous_default"] is None
    check(second("POST", "/models/captioner/rollback"), 409, "NoPreviousDefault")
    # There and back by hand is a change like any other, and a version is in the list once.
    for version in ("2.0", "1.0", "2.0", "1.0"):
        second("PUT", f"/models/captioner/{version}/default")
    assert roll_back(second) == "2.0"
    assert second.model()["previous_default"] is None


def test_promoting_the_canary_ends_it(second: Admin) -> None:
    second("PUT", "/canary", {"version": "2.0", "share": 0.5})
    second("PUT", "/models/captioner/2.0/default")
    assert second.audit()[0]["message"] == (
        "captioner 2.0 is the default; it was 1.0. The canary is off."
    )
    assert second("GET", "/canary").get_json()["version"] is None
    second("PUT", "/canary", {"version": "1.0", "share": 0.5})
    assert roll_back(second) == "1.0"
    assert second("GET", "/canary").get_json()["version"] is None


def test_without_a_previous_default_nothing_is_rolled_back(second: Admin) -> None:
    check(second("POST", "/models/captioner/rollback"), 409, "NoPreviousDefault")
    assert (second.audit()[0]["action"], second.audit()[0]["outcome"]) == ("rollback", "refused")
    second("PUT", "/models/captioner/2.0/default")
    second("PUT", "/models/captioner/1.0/default")
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
