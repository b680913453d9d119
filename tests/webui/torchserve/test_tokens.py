"""The key ring: fresh keys from a file that changes under it."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from webui.torchserve import tokens
from webui.torchserve.tokens import KeyRing, KeysUnreadable


def write(path: Path, inference: str, life_s: float = 3600, age_s: float = 0) -> None:
    """Write a key file as TorchServe would have `age_s` ago, its keys living for `life_s`."""
    written = datetime.now(UTC) - timedelta(seconds=age_s)
    expires = (written + timedelta(seconds=life_s)).isoformat().replace("+00:00", "000Z")
    entry = {"expiration time": expires}
    keys = {
        "management": {"key": "m", **entry},
        "inference": {"key": inference, **entry},
        "API": {"key": "api"},
    }
    path.write_text(json.dumps(keys))
    os.utime(path, (written.timestamp(), written.timestamp()))


class Renewals:
    """Stands for TorchServe's /token: counts what is asked and writes a new file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[tuple[str, str]] = []

    def __call__(self, kind: str, api_key: str) -> None:
        self.asked.append((kind, api_key))
        write(self.path, f"new-{len(self.asked)}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "key_file.json"


def test_a_fresh_key_is_kept(path: Path) -> None:
    write(path, "old", age_s=0.79 * 3600)
    renewals = Renewals(path)
    ring = KeyRing(path, renewals)
    assert ring.key("inference") == "old"
    assert renewals.asked == []


def test_a_key_is_renewed_when_80_percent_of_its_life_is_over(path: Path) -> None:
    write(path, "old", age_s=0.81 * 3600)
    renewals = Renewals(path)
    ring = KeyRing(path, renewals)
    assert ring.key("inference") == "new-1"
    assert ring.key("inference") == "new-1"
    assert renewals.asked == [("inference", "api")]


def test_a_changed_file_is_read_again(path: Path) -> None:
    write(path, "first")
    ring = KeyRing(path, Renewals(path))
    assert ring.key("inference") == "first"
    write(path, "second-after-a-restart")
    assert ring.key("inference") == "second-after-a-restart"


def test_a_half_written_file_is_waited_for(path: Path) -> None:
    write(path, "whole")
    whole = path.read_text()
    path.write_text(whole[:60])
    ring = KeyRing(path, Renewals(path))
    threading.Timer(0.15, path.write_text, (whole,)).start()
    assert ring.key("inference") == "whole"


@pytest.mark.parametrize("content", ["", '{"inference"', "[]", "{}", '{"API": 3}'])
def test_a_file_that_stays_broken_is_reported(
    path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "READ_FOR_S", 0.05)
    path.write_text(content)
    with pytest.raises(KeysUnreadable, match="holds no keys"):
        KeyRing(path, Renewals(path)).key("inference")


def test_an_absent_file_is_reported(path: Path) -> None:
    with pytest.raises(KeysUnreadable, match="No such file"):
        KeyRing(path, Renewals(path)).key("management")


def test_a_refused_key_is_replaced_by_the_one_in_the_file_first(path: Path) -> None:
    write(path, "first")
    renewals = Renewals(path)
    ring = KeyRing(path, renewals)
    ring.key("inference")
    # As many bytes in the same instant: only reading again can tell.
    stat = path.stat()
    path.write_text(path.read_text().replace("first", "other"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert ring.key("inference") == "first"
    assert ring.replacement("inference", "first") == "other"
    assert renewals.asked == []


def test_a_refused_key_that_is_still_in_the_file_is_renewed(path: Path) -> None:
    write(path, "refused")
    renewals = Renewals(path)
    assert KeyRing(path, renewals).replacement("inference", "refused") == "new-1"
    assert renewals.asked == [("inference", "api")]


def test_a_failed_renewal_keeps_the_key_and_is_not_repeated_at_once(path: Path) -> None:
    write(path, "old", age_s=0.9 * 3600)
    asked = []

    def away(kind: str, api_key: str) -> None:
        asked.append(kind)
        raise OSError("away")

    ring = KeyRing(path, away)
    assert [ring.key("inference") for _ in range(3)] == ["old"] * 3
    assert asked == ["inference"]


def test_renewing_one_key_leaves_the_other_its_due_time(path: Path) -> None:
    write(path, "old", age_s=0.9 * 3600)
    asked = []

    def rewrite(kind: str, api_key: str) -> None:
        asked.append(kind)
        keys = json.loads(path.read_text())
        keys[kind]["key"] += "-new"
        keys[kind]["expiration time"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        path.write_text(json.dumps(keys))

    ring = KeyRing(path, rewrite)
    assert ring.key("management") == "m-new"
    assert ring.key("inference") == "old-new"
    assert asked == ["management", "inference"]


def test_many_threads_renew_once(path: Path) -> None:
    write(path, "old", age_s=0.9 * 3600)
    renewals = Renewals(path)

    def slow(kind: str, api_key: str) -> None:
        time.sleep(0.05)
        renewals(kind, api_key)

    ring = KeyRing(path, slow)
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: ring.key("inference"), range(32)))
    assert set(keys) == {"new-1"}
    assert len(renewals.asked) == 1


def _renew_in_a_process(path: Path, log: Path, start: Callable[[], object]) -> None:
    def request(kind: str, api_key: str) -> None:
        with log.open("a") as file:
            file.write(f"{kind}\n")
        time.sleep(0.1)
        write(path, "new")

    ring = KeyRing(path, request)
    start()
    assert ring.key("inference") == "new"


def test_several_processes_renew_once(path: Path, tmp_path: Path) -> None:
    write(path, "old", age_s=0.9 * 3600)
    log = tmp_path / "asked"
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    processes = [
        context.Process(target=_renew_in_a_process, args=(path, log, barrier.wait))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert log.read_text() == "inference\n"
