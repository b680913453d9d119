"""What the management client does over a TorchServe: the fake one here, the real one in e2e.

The model `captioner` is there with the one version `first`, and the model store is `store`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.webui.fake_management import write_archive
from webui.torchserve.management import Management, Version
from webui.torchserve.refusals import ManagementError

WAIT_S = 60


def wait_for_ready(management: Management, version: str, workers: int) -> Version:
    """Wait until the version has this many workers, all READY."""
    give_up = time.monotonic() + WAIT_S
    while time.monotonic() < give_up:
        now = management.version("captioner", version)
        if now.ready == len(now.workers) == workers:
            return now
        time.sleep(0.05)
    raise TimeoutError(f"{version} has no {workers} workers that are ready")


def refused(call: Callable[[], object]) -> tuple[int, str]:
    """Code and type of the error that `call` raises; its sentence ends with a full stop."""
    with pytest.raises(ManagementError) as caught:
        call()
    assert caught.value.message.endswith(".")
    return caught.value.code, caught.value.type


def check_life_of_a_version(management: Management, store: Path, first: str) -> None:
    """Register, scale, make the default, go back, unregister."""
    archive = write_archive(store / "contract.mar", version="7.10")
    try:
        assert management.register(archive.name, batch_size=4, max_batch_delay=20) == (
            "captioner",
            "7.10",
        )
        now = management.version("captioner", "7.10")
        assert (now.workers, now.max_workers, now.ready, now.default) == ((), 0, 0, False)
        assert (now.batch_size, now.max_batch_delay_ms) == (4, 20)
        assert now.archive == archive.name
        assert refused(lambda: management.register(archive.name)) == (409, "AlreadyRegistered")

        management.scale("captioner", "7.10", 1)
        assert wait_for_ready(management, "7.10", 1).max_workers == 1
        management.set_default("captioner", "7.10")
        assert management.default("captioner").version == "7.10"
        assert refused(lambda: management.unregister("captioner", "7.10")) == (
            403,
            "DefaultVersion",
        )
        management.set_default("captioner", first)
        assert [(v.version, v.default) for v in management.versions("captioner")] == [
            (first, True),
            ("7.10", False),
        ]
    finally:
        management.set_default("captioner", first)
        management.unregister("captioner", "7.10")
        archive.unlink()
    assert [one.version for one in management.versions("captioner")] == [first]


def check_a_model_of_its_own(management: Management, store: Path) -> None:
    """The only version of a model is its default, and can be unregistered."""
    archive = write_archive(store / "other.mar", model="other", version="1.0")
    try:
        assert management.register(archive.name) == ("other", "1.0")
        assert management.models() == ["captioner", "other"]
        assert [one.default for one in management.versions("other")] == [True]
    finally:
        management.unregister("other", "1.0")
        assert archive.exists(), "TorchServe leaves what it did not download"
        archive.unlink()
    assert management.models() == ["captioner"]


def check_what_is_not_there(management: Management) -> None:
    """Names that nothing has."""
    calls: list[Callable[[], object]] = [
        lambda: management.versions("nothing"),
        lambda: management.version("captioner", "99"),
        lambda: management.describe("captioner", "99"),
        lambda: management.scale("captioner", "99", 1),
        lambda: management.set_default("captioner", "99"),
        lambda: management.unregister("captioner", "99"),
        lambda: management.unregister("nothing", "1.0"),
    ]
    assert [refused(call) for call in calls] == [(404, "NoSuchVersion")] * len(calls)
    assert refused(lambda: management.register("nothing.mar")) == (404, "NoSuchArchive")
