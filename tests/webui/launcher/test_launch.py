"""How the launcher waits, watches and reports. The whole of it runs in tests/e2e."""

from __future__ import annotations

import json
import os
import signal
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from webui import serve
from webui.launcher import launch
from webui.launcher.plan import LaunchError, Plan
from webui.torchserve import tokens

KEY = "the management key"


class Management(ThreadingHTTPServer):
    """A stand-in for TorchServe's management API that answers with `workers`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.workers: list[dict[str, Any]] = []


class Answers(BaseHTTPRequestHandler):
    server: Management

    def do_GET(self) -> None:
        allowed = self.headers["Authorization"] == f"Bearer {KEY}"
        known = self.path == "/models/captioner"
        self.send_response(200 if allowed and known else 400)
        self.end_headers()
        body = [{"workers": self.server.workers}] if allowed and known else {"code": 400}
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments: object) -> None:
        """Nothing on the tests' own output."""


@pytest.fixture
def management() -> Iterator[Management]:
    with Management() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def plan(tmp_path: Path, management: Management, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("CAPTIONIZE_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("CAPTIONIZE_MANAGEMENT_PORT", str(management.server_port))
    plan = Plan.from_environment()
    plan.logs.mkdir(parents=True)
    plan.key_file.write_text(json.dumps({"management": {"key": KEY}}))
    return plan


@pytest.fixture
def stop() -> Iterator[launch.StopRequest]:
    before = {signum: signal.getsignal(signum) for signum in launch.STOP_SIGNALS}
    yield launch.StopRequest()
    for signum, handler in before.items():
        signal.signal(signum, handler)


def worker(pid: int, status: str = "UNLOADING") -> dict[str, Any]:
    return {"pid": pid, "status": status}


def test_ready_is_a_ready_worker(plan: Plan, management: Management) -> None:
    readiness = launch.Readiness(plan)
    for workers in ([], [worker(-1)], [worker(7)], [worker(7), worker(-1)]):
        management.workers = workers
        assert not readiness.reached()
    management.workers = [worker(7), worker(8, "READY")]
    assert readiness.reached()


@pytest.mark.parametrize(
    "text", ["", '{"manag', '{"management": {}}', '{"management": {"key": "x"}}']
)
def test_without_a_good_key_nothing_is_ready(
    plan: Plan, management: Management, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "READ_FOR_S", 0.05)
    management.workers = [worker(7, "READY")]
    plan.key_file.write_text(text)
    assert not launch.Readiness(plan).reached()


def test_a_server_that_is_not_there_is_not_ready(plan: Plan, management: Management) -> None:
    management.shutdown()
    management.server_close()
    assert not launch.Readiness(plan).reached()
    assert launch.answers(f"http://127.0.0.1:{management.server_port}/healthz") is None


def test_the_page_s_answer_is_its_status(management: Management) -> None:
    assert launch.answers(f"http://127.0.0.1:{management.server_port}/healthz") == 400


def test_a_worker_that_crashes_again_and_again(plan: Plan, management: Management) -> None:
    log = plan.logs / "model_log.log"
    log.write_text("x W-9000 MODEL_LOG - ValueError: of an earlier start\n")
    readiness = launch.Readiness(plan)
    with log.open("a") as later:
        later.write("x W-9000 MODEL_LOG - Traceback (most recent call last):\n")
        later.write('x W-9000 MODEL_LOG -   raise ValueError("no")\n')
        later.write("x W-9000 MODEL_LOG - some.OddError: no weights\n")
        later.write("x W-9000 MODEL_LOG - Backend worker started\n")
    for pid in (1, 2, 3):
        management.workers = [worker(pid)]
        assert not readiness.reached()
    management.workers = [worker(4)]
    with pytest.raises(LaunchError, match=r"crashed 3 times .*: some\.OddError: no weights \("):
        readiness.reached()


def test_a_worker_that_dies_without_a_word(plan: Plan, management: Management) -> None:
    readiness = launch.Readiness(plan)
    for pid in (1, 2, 3):
        management.workers = [worker(pid)]
        readiness.reached()
    management.workers = [worker(4)]
    with pytest.raises(LaunchError, match="it wrote no error"):
        readiness.reached()


def test_check_exits_with_the_truth(plan: Plan, management: Management, stop: object) -> None:
    assert serve.main(["--check", "--without-page"]) == 1
    management.workers = [worker(7, "READY")]
    assert serve.main(["--check", "--without-page"]) == 0


def test_what_keeps_it_from_starting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stop: object
) -> None:
    monkeypatch.setenv("CAPTIONIZE_WORKERS", "many")
    assert serve.main([]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("CAPTIONIZE_WORKERS: expected a whole number")
    assert printed.count("\n") == 1


def test_a_setting_of_the_page_is_checked_before_the_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stop: object,
) -> None:
    with zipfile.ZipFile(tmp_path / "captioner.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", "{}")
    monkeypatch.setenv("CAPTIONIZE_MODEL_STORE", str(tmp_path))
    monkeypatch.setenv("CAPTIONIZE_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("CAPTIONIZE_TIMEOUT_S", "never")
    assert serve.main([]) == 1
    assert capsys.readouterr().err.startswith("CAPTIONIZE_TIMEOUT_S: expected ")
    assert not (tmp_path / "run").exists()


def test_watch_ends_when_it_may(stop: launch.StopRequest) -> None:
    assert launch.watch(stop, lambda: True)


@pytest.mark.parametrize("signum", launch.STOP_SIGNALS)
def test_watch_ends_at_a_signal(stop: launch.StopRequest, signum: signal.Signals) -> None:
    def interrupted() -> bool:
        os.kill(os.getpid(), signum)
        return False

    assert not launch.watch(stop, interrupted)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        launch.StopRequest()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
