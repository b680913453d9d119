"""Servers are stopped with everything that they have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from webui.launcher import processes
from webui.launcher.processes import Server

# A parent with a child that ignores SIGTERM; both print their process ids.
FAMILY = """
import os, signal, subprocess, sys, time
if sys.argv[1] == "child":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
else:
    subprocess.Popen([sys.executable, "-c", sys.argv[2], "child"])
    print(os.getpid(), flush=True)
time.sleep(60)
"""
LAUNCHER = """
import sys, time
from pathlib import Path
from webui.launcher.processes import Server
Server("it", [sys.executable, "-c", "print(1, flush=True); import time; time.sleep(60)"],
       cwd=Path.cwd(), environ={}, log=Path(sys.argv[1]))
time.sleep(60)
"""
ROOT = Path(__file__).resolve().parents[3]


def start(code: str, log: Path, *arguments: str) -> Server:
    command = [sys.executable, "-c", code, *arguments]
    return Server("it", command, cwd=Path.cwd(), environ=dict(os.environ), log=log)


def numbers(log: Path, count: int) -> list[int]:
    """The process ids in the log, once there are `count`."""
    give_up = time.monotonic() + 20
    while len(found := log.read_text().split() if log.exists() else []) < count:
        assert time.monotonic() < give_up, found
        time.sleep(0.02)
    return [int(number) for number in found]


def lives(pid: int) -> bool:
    """Whether the process runs; one that ended and waits for init to collect it does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_ended(pid: int) -> None:
    give_up = time.monotonic() + 20
    while lives(pid):
        assert time.monotonic() < give_up
        time.sleep(0.02)


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[Server, list[int]]]:
    log = tmp_path / "log"
    server = start(FAMILY, log, "parent", FAMILY)
    yield server, numbers(log, 2)
    server.stop(0)


def test_stop_ends_the_whole_family(family: tuple[Server, list[int]]) -> None:
    server, pids = family
    assert server.exit_status is None
    server.stop(grace_s=5)
    assert server.exit_status == -signal.SIGTERM
    assert [pid for pid in pids if lives(pid)] == []


def test_what_is_left_of_a_crashed_server_is_ended(family: tuple[Server, list[int]]) -> None:
    server, pids = family
    (leader,) = [pid for pid in pids if os.getsid(pid) == pid]
    os.kill(leader, signal.SIGKILL)
    while server.exit_status is None:
        time.sleep(0.02)
    server.stop(grace_s=5)
    assert [pid for pid in pids if lives(pid)] == []


def test_who_does_not_listen_is_ended_after_the_grace(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    server = start(f"{deaf}; time.sleep(60)", tmp_path / "log")
    numbers(tmp_path / "log", 1)
    server.stop(grace_s=0.1)
    assert server.exit_status == -signal.SIGKILL


def test_output_goes_to_the_log_and_replaces_an_older_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("older and longer")
    server = start("import sys; print('out'); print('err', file=sys.stderr)", log)
    while server.exit_status is None:
        time.sleep(0.02)
    assert sorted(log.read_text().split()) == ["err", "out"]
    server.stop(0)


def test_a_long_log_begins_anew_under_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES", 100)
    log = tmp_path / "log"
    counting = "import time\nfor n in range(99): print(f'{n:9}', flush=True); time.sleep(0.005)"
    server = start(counting, log)
    longest = 0
    while server.exit_status is None:
        server.bound_log()
        longest = max(longest, log.stat().st_size)
        time.sleep(0.01)
    assert longest < 500
    kept = "".join(path.read_text() for path in tmp_path.iterdir()).split()
    assert "98" in kept
    assert "0" not in kept
    log.unlink()
    server.bound_log()  # not there: nothing to do
    server.stop(0)


def test_a_killed_launcher_takes_its_servers_along(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", LAUNCHER, str(log)]
    with subprocess.Popen(command, cwd=ROOT) as launcher:
        numbers(log, 1)
        (child,) = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
        launcher.kill()
    wait_until_ended(int(child))
