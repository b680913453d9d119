"""The gate before TorchServe: nobody is inside while workers go, and nobody waits for good."""

from __future__ import annotations

import threading
import time

import pytest

from webui.torchserve import gate as module
from webui.torchserve.gate import Gate

SOON_S = 0.05


def later(seconds: float = 30) -> float:
    return time.monotonic() + seconds


def test_it_shuts_once_those_inside_have_left_and_lets_others_wait_until_it_opens() -> None:
    gate, done = Gate(), []
    entered, leave = threading.Event(), threading.Event()

    def caption(name: str) -> None:
        with gate.passing(later()):
            entered.set()
            done.append(f"{name} in")
            leave.wait(30)
            done.append(f"{name} out")

    def change() -> None:
        with gate.shut():
            shut.start()
            time.sleep(SOON_S)
            done.append("changed")

    first, shut = (threading.Thread(target=caption, args=(name,)) for name in ("first", "second"))
    changing = threading.Thread(target=change)
    first.start()
    entered.wait(30)
    changing.start()
    time.sleep(SOON_S)
    assert done == ["first in"]
    leave.set()
    for thread in (first, changing, shut):
        thread.join(30)
    assert done == ["first in", "first out", "changed", "second in", "second out"]


def test_nobody_waits_beyond_the_time_that_is_left() -> None:
    gate = Gate()
    with gate.shut(), gate.passing(later(SOON_S)) as left:
        assert 0 < left < SOON_S


def test_a_picture_that_takes_too_long_holds_no_change_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_S", SOON_S)
    gate = Gate()
    with gate.passing(later()), gate.shut():
        pass
    with gate.passing(later()) as left:
        assert left > SOON_S


def test_it_opens_again_after_an_error() -> None:
    gate = Gate()
    with pytest.raises(ValueError, match="refused"), gate.shut():
        raise ValueError("refused")
    with gate.passing(later()) as left:
        assert left > SOON_S
