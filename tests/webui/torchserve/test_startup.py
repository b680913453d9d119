"""Workers that start: a crash loop told from a slow start, and the workers' last words."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui.torchserve.startup import MAX_CRASHES, Startup


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_new_processes_again_and_again_are_a_crash_loop(workers: int) -> None:
    watch = Startup(None)
    tries = MAX_CRASHES * max(1, workers)
    assert not any(watch.crashing([-1, pid], workers) for pid in range(1, tries + 1))
    assert watch.crashing([tries + 1], workers)


def test_the_same_processes_may_take_long() -> None:
    watch = Startup(None)
    assert not any(watch.crashing([7, 8], 2) for _ in range(100))


def test_the_last_error_is_of_these_workers_and_of_this_start(tmp_path: Path) -> None:
    path = tmp_path / "model_log.log"
    assert Startup(path).last_error() is None
    path.write_text("W-9000-m_1.0-stdout MODEL_LOG - OSError: long ago\n" * 2)
    every, second, third = (Startup(path, worker) for worker in ("", "-m_2.0-", "-m_3.0-"))
    with path.open("a") as log:
        log.write("W-9001-m_2.0-stdout MODEL_LOG - Traceback (most recent call last):\n")
        log.write("W-9001-m_2.0-stdout MODEL_LOG - torch.OutOfMemoryError: too much \n")
        log.write("W-9000-m_1.0-stdout MODEL_LOG - ValueError: another's\n")
    assert every.last_error() == "ValueError: another's"
    assert second.last_error() == "torch.OutOfMemoryError: too much"
    assert third.last_error() is None
    path.write_text("W-9002-m_3.0-stdout MODEL_LOG - OSError: in a new file\n")
    assert third.last_error() == "OSError: in a new file"


def test_without_the_log_there_is_no_reason() -> None:
    assert Startup(None).last_error() is None
