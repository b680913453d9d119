"""The administrator's API over the fake TorchServe: what it answers and what it refuses to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from tests.webui.administration import TOKEN, Admin, check, form_token, log_in
from tests.webui.fake_torchserve import FakeTorchServe

MakeApp = Callable[..., Flask]


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
        "behind": False,
        "note": "",
        "tags": [],
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


def test_a_state_that_cannot_be_written_is_said(make_app: MakeApp, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    app = make_app(ADMIN_TOKEN=TOKEN, STATE_DIR=str(tmp_path / "file" / "state"))
    answer = Admin(app.test_client())("GET", "/models").get_json()
    assert "cannot be written" in answer["unsaved"]


def test_a_version_has_a_note_and_tags(second: Admin) -> None:
    note = {"note": "Trained on our photos.", "tags": ["ours", "ours", "try"]}
    answer = second("PUT", "/models/captioner/2.0/note", note)
    assert answer.status_code == 200
    assert (answer.get_json()["note"], answer.get_json()["tags"]) == (note["note"], ["ours", "try"])
    assert second("DELETE", "/models/captioner/2.0").status_code == 204
    second.job("POST", "/models", {"archive": "second.mar"})  # it is remembered
    assert second("GET", "/models/captioner/2.0").get_json()["tags"] == ["ours", "try"]
    said = [entry["message"] for entry in second.audit() if entry["action"] == "note"]
    assert said == ["The note and the tags of captioner 2.0 are changed."]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"note": 1}, "at most 2000 characters"),
        ({"note": "x" * 2001}, "at most 2000 characters"),
        ({"tags": "ours"}, "at most 8 texts of 1 to 30"),
        ({"tags": [""]}, "at most 8 texts of 1 to 30"),
        ({"tags": [str(n) for n in range(9)]}, "at most 8 texts of 1 to 30"),
    ],
)
def test_a_note_that_is_none_is_refused(
    second: Admin, body: dict[str, object], message: str
) -> None:
    check(second("PUT", "/models/captioner/2.0/note", body), 400, "BadBody", message)
    check(second("PUT", "/models/captioner/9.9/note", {}), 404, "NoSuchVersion")
