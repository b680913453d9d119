"""The watch: what it remembers of an hour, what it marks, and that nothing ends it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.webui.fake_management import FakeVersion
from tests.webui.fake_torchserve import FakeTorchServe
from webui.captions.canary import Setting
from webui.operations import watch as watch_module
from webui.operations.watch import Watch, changes
from webui.torchserve.client import TorchServe
from webui.torchserve.errors import Away
from webui.torchserve.management import Version, Worker

WAIT_S = 10
WORKER = Worker("9000", "READY", 400, False, "2026-01-01T12:00:00Z", 42, "N/A")
ONE = Version("1.1", True, "captioner.mar", (WORKER,), 1, 1, 64, 0, 8, 10)
TWO = replace(ONE, version="2.0", default=False)
CANARY = Setting("2.0", 0.1)


class Clock:
    """The time of day as a test has it."""

    def __init__(self) -> None:
        self.now = 1_767_225_600.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch_module, "time", clock)
    return clock


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def watch(app: Flask) -> Watch:
    found: Watch = app.extensions["watch"]
    return found


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function that has TorchServe stop answering."""

    def manage(self: TorchServe, *args: object, **kwargs: object) -> None:
        raise Away("The captioning service cannot be reached.")

    return lambda: monkeypatch.setattr(TorchServe, "manage", manage)


def texts(watch: Watch) -> list[str]:
    return [mark["text"] for mark in watch.snapshot()["marks"]]


def test_an_hour_is_remembered_and_no_more(
    watch: Watch, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_ask", lambda: ([ONE], None))
    for _ in range(400):
        clock.now += 10
        found = watch.snapshot()
    history = found["history"]
    assert {len(values) for values in history.values()} == {360}
    assert history["time"][0] > clock.now - 3600
    assert history["time"] == sorted(history["time"])
    clock.now += 3000  # the machine slept
    assert len(watch.snapshot()["history"]["time"]) == 61


def test_captions_of_the_last_minute_are_counted_and_then_past(
    app: Flask, watch: Watch, clock: Clock
) -> None:
    watch.snapshot()
    app.extensions["metrics"].captions.labels("1.0", "captioned").inc(6)
    app.extensions["metrics"].caption_seconds.labels("1.0").observe(0.12)
    seen = []
    for _ in range(7):
        clock.now += 10
        seen.append(watch.snapshot()["now"])
    assert [one["captions"] for one in seen] == [6] * 6 + [0]
    assert seen[0]["p95_seconds"] == pytest.approx(0.15, abs=0.01)
    assert watch.snapshot()["history"]["captions"][:2] == [0, 6]


def test_figures_go_on_while_torchserve_is_away(
    watch: Watch, leave: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.snapshot()
    leave()
    found = watch.snapshot()
    assert found["health"]["state"] == "bad"
    assert "CaptioningAway" in found["health"]["cause"]
    assert (found["now"]["waiting"], found["now"]["captions"], found["versions"]) == (None, 0, [])
    watch.snapshot()
    assert texts(watch) == ["TorchServe stopped answering."]
    monkeypatch.undo()
    assert texts(watch) == ["TorchServe stopped answering.", "TorchServe answers again."]


def test_being_away_from_the_start_is_no_change(watch: Watch, leave: Callable[[], None]) -> None:
    leave()
    watch.snapshot()
    assert texts(watch) == []


def test_a_model_that_is_not_loaded_is_told_from_torchserve_away(
    watch: Watch, torchserve: FakeTorchServe
) -> None:
    torchserve.models.versions.clear()
    assert "has not loaded" in watch.snapshot()["health"]["sentence"]


def test_changes_are_marked_when_they_are_seen(
    app: Flask, watch: Watch, torchserve: FakeTorchServe, clock: Clock
) -> None:
    watch.snapshot()
    torchserve.models.versions["captioner"]["2.0"] = FakeVersion("two.mar", ["READY"])
    torchserve.models.defaults["captioner"] = "2.0"
    app.extensions["canary"].set(Setting("1.0", 0.25))
    clock.now += 10
    assert texts(watch) == [
        "2.0 was registered.",
        "2.0 became the default.",
        "1.0 is the canary, with 25% of the captions.",
    ]
    clock.now += 3601
    assert texts(watch) == []


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (([ONE], None), ([ONE], None), []),
        (([ONE, TWO], None), ([ONE], None), ["2.0 was unregistered."]),
        (([ONE], None), ([replace(ONE, workers=(replace(WORKER, pid=7),))], None), ["restarted"]),
        (([ONE], None), ([replace(ONE, workers=(replace(WORKER, pid=-1),))], None), ["restarted"]),
        (([replace(ONE, workers=(replace(WORKER, pid=-1),))], None), ([ONE], None), []),
        (([ONE], None), ([replace(ONE, workers=())], None), []),
        (([ONE, TWO], CANARY), ([ONE, TWO], Setting("2.0", 0.5)), ["50%"]),
        (([ONE, TWO], CANARY), ([ONE, TWO], None), ["turned off"]),
    ],
)
def test_changes(then: Any, now: Any, expected: list[str]) -> None:
    found = list(changes(then, now))
    assert len(found) == len(expected)
    assert all(part in text for part, text in zip(expected, found, strict=True))


def test_a_workers_error_is_the_cause_until_all_are_ready(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe, tmp_path: Path
) -> None:
    log = tmp_path / "model_log.log"
    log.write_text("MODEL_LOG - ValueError: long ago\n")
    watch: Watch = make_app(MODEL_LOG=str(log)).extensions["watch"]
    torchserve.worker_states = ["UNLOADING"]
    assert "ValueError" not in watch.snapshot()["health"]["cause"]
    with log.open("a") as more:
        more.write("MODEL_LOG - KeyError: 'vocabulary'\n")
    assert "KeyError: 'vocabulary'" in watch.snapshot()["health"]["cause"]
    torchserve.worker_states = ["READY"]
    assert watch.snapshot()["health"]["state"] == "good"
    torchserve.worker_states = ["UNLOADING"]
    assert "KeyError" not in watch.snapshot()["health"]["cause"]


def test_prometheus_sees_what_is_served(app: Flask, leave: Callable[[], None]) -> None:
    registry = app.extensions["metrics"].registry
    labels = {"version": "1.0", "default": "true"}
    app.extensions["watch"].snapshot()
    assert registry.get_sample_value("captionize_ready_workers", labels) == 1
    assert registry.get_sample_value("captionize_queue_places", labels) > 0
    leave()
    app.extensions["watch"].snapshot()
    assert registry.get_sample_value("captionize_ready_workers", labels) is None


def test_the_thread_looks_until_it_is_stopped_whatever_goes_wrong(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch_module, "EVERY_S", 0.01)
    monkeypatch.setattr(watch, "_canary", lambda: math.sqrt(-1))
    watch.start()
    wait_for(lambda: "A look at the service failed" in caplog.text)
    monkeypatch.setattr(watch, "_canary", lambda: None)
    wait_for(lambda: len(watch.snapshot()["history"]["time"]) > 2)
    watch.stop()
    assert "watch" not in [one.name for one in threading.enumerate()]


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)
