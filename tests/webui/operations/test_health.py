"""The sentence of health: the worst that is known comes first, each with its cause."""

from __future__ import annotations

from typing import Any

import pytest

from webui.operations.health import judge
from webui.torchserve.management import Version, Worker

GOOD: dict[str, float | None] = {
    "captions": 30.0,
    "p50_seconds": 0.31,
    "p95_seconds": 0.5,
    "failed_share": 0.0,
    "failed_status": None,
    "waiting": 0,
    "places": 64,
}
IDLE = {**GOOD, "captions": 0.0, "p50_seconds": None, "p95_seconds": None, "failed_share": None}


def version(*states: str, name: str = "1.1", default: bool = True) -> Version:
    workers = tuple(Worker(str(i), one, None, False, "", 1, "") for i, one in enumerate(states))
    return Version(name, default, "captioner.mar", workers, 1, 1, 64, 0, 8, 10)


@pytest.mark.parametrize(
    ("states", "figures", "expected", "sentence", "cause"),
    [
        (["READY"], {}, "good", "1 worker ready, 0.31 s at the median", ""),
        (["READY", "READY"], IDLE, "good", "2 workers ready", ""),
        (["READY", "UNLOADING"], {}, "warning", "1 of 2 workers", "starting"),
        (["READY"], {"failed_share": 0.1, "failed_status": 503}, "warning", "10%", "queue"),
        (["READY"], {"failed_share": 0.1, "failed_status": 504}, "warning", "10%", "TIMEOUT"),
        (["READY"], {"failed_share": 0.1, "failed_status": None}, "warning", "10%", "log"),
        (["READY"], {"failed_share": 0.9, "failed_status": 502}, "bad", "90%", "TorchServe"),
        (["READY"], {"waiting": 32}, "warning", "slow: 32 of", "add one"),
        (["READY"], {"p95_seconds": 7.0, "waiting": 9}, "warning", "slow", "add one"),
        (["READY"], {"p95_seconds": 7.0}, "warning", "over 7 s", "processor"),
        (["UNLOADING"], {"failed_share": 1.0}, "bad", "no worker of 1.1", "starting"),
        ([], IDLE, "bad", "no worker of 1.1", "Versions page"),
    ],
)
def test_the_worst_that_is_known_is_said(
    states: list[str], figures: dict[str, Any], expected: str, sentence: str, cause: str
) -> None:
    health = judge([version(*states)], {**GOOD, **figures}, None)
    assert health.state == expected
    assert sentence in health.sentence
    assert cause in health.cause
    assert bool(health.cause) == (expected != "good")


def test_what_a_worker_died_of_is_the_cause() -> None:
    health = judge([version("UNLOADING")], IDLE, "ValueError: no vocabulary")
    assert "ValueError: no vocabulary" in health.cause


def test_only_the_defaults_workers_count() -> None:
    others = [version("READY", name="2.0", default=False), version("UNLOADING")]
    assert judge(others, IDLE, None).state == "bad"


def test_a_model_that_is_not_loaded_gives_no_captions() -> None:
    health = judge([], IDLE, None)
    assert (health.state, "loading" in health.cause) == ("bad", True)
