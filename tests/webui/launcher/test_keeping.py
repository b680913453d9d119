"""How a server is kept running, and what is told about it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from webui.launcher import keeping
from webui.launcher.keeping import Kept
from webui.launcher.plan import LaunchError, Plan, renew
from webui.launcher.processes import Server
from webui.launcher.reporting import Reporter
from webui.torchserve.report import REPEATED, Report

DIES = "raise SystemExit(3)"
KILLED = "import os; os.kill(os.getpid(), 9)"
LIVES = "import time; time.sleep(60)"


class Servers:
    """Starts the next of some programs each time, the last one again and again."""

    def __init__(self, folder: Path, *codes: str) -> None:
        self._folder = folder
        self._codes = list(codes)
        self.started: list[Server] = []

    def __call__(self) -> Server:
        code = self._codes.pop(0) if len(self._codes) > 1 else self._codes[0]
        command = [sys.executable, "-c", code]
        log = self._folder / "log"
        self.started.append(Server("The page", command, cwd=self._folder, environ={}, log=log))
        return self.started[-1]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[..., Kept]]:
    made: list[Kept] = []

    def make(*codes: str, ready: Callable[[], bool] = lambda: True, **more: object) -> Kept:
        made.append(Kept(Servers(tmp_path, *codes), lambda: ready, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop(0)


def look_until(kept: Kept, condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        kept.look()
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("code", "message"), [(DIES, r"^The page .*exit status 3.*log is .+"), (KILLED, "SIGKILL")]
)
def test_one_that_was_never_ready_is_given_up(
    keep: Callable[..., Kept], code: str, message: str
) -> None:
    kept = keep(code, ready=lambda: False)
    with pytest.raises(LaunchError, match=message):
        look_until(kept, lambda: False)


def test_a_start_that_takes_too_long_is_given_up(
    keep: Callable[..., Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "START_S", 0.05)
    kept = keep(LIVES, ready=lambda: False)
    with pytest.raises(LaunchError, match="not ready after"):
        look_until(kept, lambda: False)


def test_it_is_started_again_at_once_and_then_later_and_later(
    keep: Callable[..., Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "LONGEST_WAIT_S", 0.05)
    told: list[tuple[bool, str]] = []
    kept = keep(LIVES, DIES, KILLED, LIVES, tell=lambda one, why: told.append((one.ready, why)))
    assert kept.look()
    assert kept.server is not None
    kept.server.stop(0)
    waits = []
    for failures in (1, 2, 3):
        look_until(kept, lambda number=failures: kept.failures == number)
        waits.append(kept.wait_s)
    look_until(kept, lambda: kept.ready)
    assert waits == [0, 0.05, 0.05]
    assert kept.starts == 4
    assert (told[0], told[1], told[-1]) == ((False, ""), (True, ""), (True, ""))
    reasons = [why.partition("(")[2].partition(")")[0] for _, why in told if why]
    assert reasons == ["signal SIGTERM", "exit status 3", "signal SIGKILL"]


def test_a_program_that_is_gone_is_tried_again(keep: Callable[..., Kept]) -> None:
    kept = keep(LIVES)
    kept.look()

    def gone() -> Server:
        raise FileNotFoundError("no such program")

    kept._start = gone
    assert kept.server is not None
    kept.server.stop(0)
    look_until(kept, lambda: kept.failures == 2)
    assert not kept.ready


def test_after_a_while_the_next_end_is_the_first_again(
    keep: Callable[..., Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keep(LIVES, KILLED, LIVES)
    kept.look()
    assert kept.server is not None
    kept.server.stop(0)
    look_until(kept, lambda: kept.starts == 3 and kept.ready)
    assert kept.failures == 2
    monkeypatch.setattr(keeping, "STABLE_S", 0.0)
    look_until(kept, lambda: kept.failures == 0)


def test_the_page_is_told_why(
    keep: Callable[..., Kept], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setenv("CAPTIONIZE_RUN_DIR", str(tmp_path))
    plan = Plan.from_environment()
    plan.logs.mkdir()
    (plan.logs / "torchserve.log").write_text("".join(f"line {n}\n" for n in range(100)))
    kept = keep(LIVES, KILLED, tell=Reporter(plan))
    kept.look()
    report = Report.read(plan.key_file)
    assert report == Report("running", starts=1)
    assert kept.server is not None
    kept.server.stop(0)
    look_until(kept, lambda: kept.failures == REPEATED)
    report = Report.read(plan.key_file)
    assert report is not None
    assert (report.state, report.failures) == ("starting", REPEATED)
    assert "SIGKILL" in report.reason
    assert report.log == [f"line {n}" for n in range(90, 100)]
    assert "3 times in a row" in report.sentence
    assert str(tmp_path) not in report.sentence
    assert report.wait_s > 1


def test_without_a_report_there_is_none(tmp_path: Path) -> None:
    key_file = tmp_path / "key_file.json"
    assert Report.read(key_file) is None
    (tmp_path / "torchserve.json").write_text("{half")
    assert Report.read(key_file) is None


def test_a_new_start_finds_nothing_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPTIONIZE_RUN_DIR", str(tmp_path))
    plan = Plan.from_environment()
    (plan.scratch / "models").mkdir(parents=True)
    plan.key_file.write_text("{}")
    renew(plan)
    assert list(tmp_path.rglob("*")) == [plan.scratch]
