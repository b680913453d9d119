"""The model store: what is listed, what is taken in, what is refused."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from urllib3 import encode_multipart_formdata
from werkzeug.test import TestResponse

from tests.webui.administration import BEARER, TOKEN, check
from tests.webui.fake_management import write_archive
from tests.webui.fake_torchserve import FakeTorchServe
from webui.versions import archives

MIB = 2**20
MANIFEST = "MAR-INF/MANIFEST.json"
MODEL = {"modelName": "captioner", "handler": "simple.py", "modelVersion": "2.0"}


@pytest.fixture
def store(torchserve: FakeTorchServe) -> Path:
    folder = torchserve.models.store
    folder.mkdir()
    return folder


@pytest.fixture
def client(make_app: Callable[..., Flask], store: Path) -> FlaskClient:
    return make_app(ADMIN_TOKEN=TOKEN, MAX_ARCHIVE_MB=3).test_client()


def send(
    client: FlaskClient, content: bytes, name: str = "new.mar", field: str = "archive"
) -> TestResponse:
    body, content_type = encode_multipart_formdata({field: (name, content)})
    return client.post("/api/archives", data=body, content_type=content_type, headers=BEARER)


def listed(client: FlaskClient) -> list[dict[str, Any]]:
    return list(client.get("/api/archives", headers=BEARER).get_json()["archives"])


def zipped(manifest: object = None, **files: bytes) -> bytes:
    """A zip file with a manifest about MODEL, or this one, and further files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(MANIFEST, json.dumps({"model": MODEL} if manifest is None else manifest))
        archive.writestr("simple.py", "")
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_the_model_store_is_listed(client: FlaskClient, store: Path) -> None:
    card = json.dumps({"encoder": "drawn"})
    ours = {"model_card__json": card, "handler/caption_handler__py": ""}
    write_archive(store / "ours.mar", **ours)
    write_archive(store / "captioner.mar", version="1.0")
    (store / "half.mar").write_bytes(zipped()[:100])
    (store / "readme.txt").write_text("no archive")
    captioner, half, mine = listed(client)
    assert (captioner["registered"], captioner["ours"]) == (["captioner 1.0"], False)
    assert (half["model"], half["problem"]) == (None, "This file is no archive, or not all of one.")
    assert mine == {
        "name": "ours.mar",
        "size_bytes": (store / "ours.mar").stat().st_size,
        "model": "captioner",
        "version": "2.0",
        "ours": True,
        "handler": 1,
        "behind": True,
        "card": {"encoder": "drawn"},
        "problem": None,
        "registered": [],
    }
    # A file that was replaced is read anew.
    write_archive(store / "ours.mar", version="3.0")
    assert listed(client)[2]["version"] == "3.0"


def test_without_the_folder_there_is_nothing(make_app: Callable[..., Flask]) -> None:
    client = make_app(ADMIN_TOKEN=TOKEN, MODEL_STORE="/nowhere").test_client()
    assert listed(client) == []
    check(send(client, zipped()), 507, "StoreUnwritable", "No such file")


def test_a_sound_archive_is_taken_in(client: FlaskClient, store: Path) -> None:
    content = zipped(weights=bytes(MIB))
    response = send(client, content)
    assert response.status_code == 201
    assert (response.get_json()["model"], response.get_json()["version"]) == ("captioner", "2.0")
    assert [path.name for path in store.iterdir()] == ["new.mar"]
    assert (store / "new.mar").read_bytes() == content
    assert stat.S_IMODE((store / "new.mar").stat().st_mode) == 0o644
    [entry] = client.get("/api/audit", headers=BEARER).get_json()["audit"]
    assert (entry["action"], entry["outcome"]) == ("upload", "done")
    assert "new.mar" in entry["message"]


def test_nothing_is_overwritten(client: FlaskClient, store: Path) -> None:
    write_archive(store / "new.mar", version="1.0")
    before = (store / "new.mar").read_bytes()
    check(send(client, zipped()), 409, "ArchiveExists", "never overwritten")
    assert (store / "new.mar").read_bytes() == before
    assert len(list(store.iterdir())) == 1


def test_an_archive_does_not_go_through_memory(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.web.security.MemoryRequest.open_upload", None)
    assert send(client, zipped()).status_code == 201


@pytest.mark.parametrize(
    "name",
    ["new.zip", ".mar", "-x.mar", "a b.mar", "token.mar", "é.mar", "x.mar.txt", "a" * 101 + ".mar"],
)
def test_a_name_that_is_not_plain_is_refused(client: FlaskClient, store: Path, name: str) -> None:
    check(send(client, zipped(), name), 400, "BadArchiveName", "letters, digits")
    assert list(store.iterdir()) == []


@pytest.mark.parametrize("name", ["../new.mar", "/etc/new.mar", "a/new.mar"])
def test_a_name_leads_nowhere_else(client: FlaskClient, store: Path, name: str) -> None:
    check(send(client, zipped(), name), 400, "BadArchiveName")
    assert list(store.parent.rglob("new.mar")) == []


def linked() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(MANIFEST, json.dumps({"model": MODEL}))
        archive.writestr("simple.py", "")
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return file.getvalue()


def damaged() -> bytes:
    content = zipped(weights=b"A" * 1000)
    return content.replace(b"A" * 1000, b"A" * 999 + b"B")


def garbled() -> bytes:
    """A file whose deflated content cannot be unpacked."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, json.dumps({"model": MODEL}))
        archive.writestr("simple.py", "")
        archive.writestr("weights", b"A" * 1000)
    content = file.getvalue()
    start = content.index(b"weights") + len("weights")
    return content[:start] + b"\xff" + content[start + 1 :]


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, json.dumps({"model": MODEL}))
        archive.writestr("simple.py", bytes(13 * MIB))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "code", "type_", "message"),
    [
        (b"", 415, "NotAnArchive", "zip file"),
        (b"PK\x03\x04 and so on", 415, "NotAnArchive", "zip file"),
        (zipped()[:-30], 415, "NotAnArchive", "not all of it"),
        (garbled(), 415, "NotAnArchive", "not all of it"),
        (zipped([]), 422, "BadArchive", "the member 'model'"),
        (zipped({"model": "captioner"}), 422, "BadArchive", "the member 'model'"),
        (zipped({"model": {**MODEL, "modelName": "token1"}}), 422, "BadArchive", "got 'token1'"),
        (zipped({"model": {**MODEL, "modelName": "a/b"}}), 422, "BadArchive", "modelName"),
        (zipped({"model": {**MODEL, "modelVersion": ""}}), 422, "BadArchive", "modelVersion"),
        (zipped({"model": {**MODEL, "handler": "other.py"}}), 422, "BadArchive", "got 'other.py'"),
        (zipped({"model": {**MODEL, "serializedFile": "m.pt"}}), 422, "BadArchive", "m.pt"),
        (zipped(**{"../up": b""}), 422, "BadArchive", "outside of its folder"),
        (zipped(**{"/root": b""}), 422, "BadArchive", "outside of its folder"),
        (zipped(**{"a\\..\\b": b""}), 422, "BadArchive", "outside of its folder"),
        (linked(), 422, "BadArchive", "a link"),
        (damaged(), 422, "BadArchive", "weights in the archive is damaged"),
        (bomb(), 422, "BadArchive", "unpacks to 13 MB; at most 12 MB"),
    ],
)
def test_what_torchserve_could_not_serve_is_refused(
    client: FlaskClient, store: Path, content: bytes, code: int, type_: str, message: str
) -> None:
    check(send(client, content), code, type_, message)
    assert list(store.iterdir()) == []
    [entry] = client.get("/api/audit", headers=BEARER).get_json()["audit"]
    assert (entry["action"], entry["outcome"]) == ("upload", "refused")


def test_an_archive_over_the_limit_is_413(client: FlaskClient, store: Path) -> None:
    check(send(client, bytes(4 * MIB)), 413, "ArchiveTooLarge", "at most 3 MB")
    assert list(store.iterdir()) == []


def test_a_form_without_one_archive_is_400(client: FlaskClient, store: Path) -> None:
    check(send(client, zipped(), field="other"), 400, "BadBody", "got none")
    check(client.post("/api/archives", data=b"x", headers=BEARER), 400, "BadBody", "got none")
    two = [("archive", ("a.mar", zipped())), ("archive", ("b.mar", zipped()))]
    body, content_type = encode_multipart_formdata(two)
    response = client.post("/api/archives", data=body, content_type=content_type, headers=BEARER)
    check(response, 400, "BadBody", "got several")
    assert list(store.iterdir()) == []


def test_a_full_disk_is_said(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    check(send(client, zipped()), 507, "StoreUnwritable", "No space left")


def test_what_an_interrupted_upload_left_is_removed(client: FlaskClient, store: Path) -> None:
    old, new = store / f"{archives.PART}old", store / f"{archives.PART}new"
    for path in (old, new):
        path.touch()
    long_ago = time.time() - archives.STALE_S - 1
    os.utime(old, (long_ago, long_ago))
    assert send(client, zipped()).status_code == 201
    assert sorted(path.name for path in store.iterdir()) == [new.name, "new.mar"]
    assert [one["name"] for one in listed(client)] == ["new.mar"]


def delete(client: FlaskClient, name: str) -> TestResponse:
    return client.delete(f"/api/archives/{name}", headers=BEARER)


def test_a_wrong_archive_is_deleted(client: FlaskClient, store: Path) -> None:
    write_archive(store / "new.mar")
    (store / "half.mar").write_bytes(zipped()[:100])
    for name in ("new.mar", "half.mar"):
        assert delete(client, name).status_code == 204
    assert list(store.iterdir()) == []
    check(delete(client, "new.mar"), 404, "NoSuchArchive", "no new.mar")
    entries = client.get("/api/audit", headers=BEARER).get_json()["audit"]
    assert [(one["action"], one["outcome"]) for one in entries] == [
        ("delete", "refused"),
        ("delete", "done"),
        ("delete", "done"),
    ]
    assert (entries[2]["model"], entries[2]["version"]) == ("captioner", "2.0")


@pytest.mark.parametrize("name", ["..%2Fnew.mar", "%2Fetc%2Fx.mar", "readme.txt", ".upload-1"])
def test_nothing_but_archives_is_deleted(client: FlaskClient, store: Path, name: str) -> None:
    for path in (store / "readme.txt", store / ".upload-1", store.parent / "new.mar"):
        path.touch()
    assert delete(client, name).status_code in (400, 404)
    assert len(list(store.iterdir())) == 2
    assert (store.parent / "new.mar").exists()


def test_an_archive_that_is_used_stays(
    client: FlaskClient, store: Path, torchserve: FakeTorchServe
) -> None:
    write_archive(store / "captioner.mar", version="1.0")
    check(delete(client, "captioner.mar"), 409, "ArchiveInUse", "registered as captioner 1.0")
    # Not served just now, but brought back as soon as it can be.
    restoring, state = (client.application.extensions[one] for one in ("restoring", "state"))
    restoring.check()
    del torchserve.models.versions["captioner"], torchserve.models.defaults["captioner"]
    check(delete(client, "captioner.mar"), 409, "ArchiveInUse", "registered as captioner 1.0")
    with state.change() as wanted:
        wanted.models.clear()
    check(delete(client, "captioner.mar"), 409, "ArchiveInUse", "named by load_models")
    assert (store / "captioner.mar").exists()


def test_what_is_not_known_to_be_unused_stays(
    client: FlaskClient, store: Path, torchserve: FakeTorchServe
) -> None:
    write_archive(store / "new.mar")
    torchserve.stop()
    check(delete(client, "new.mar"), 502, "CaptioningAway")
    assert (store / "new.mar").exists()
