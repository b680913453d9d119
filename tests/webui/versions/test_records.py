"""The audit log, the jobs, what is remembered, and the workers' last words."""

from __future__ import annotations

import json
import stat
import threading
import time
from pathlib import Path

import pytest

from webui.administrator.audit import KEPT, Actor, Audit
from webui.torchserve.worker_log import end, last_error
from webui.versions import jobs as module
from webui.versions.jobs import Job, Jobs
from webui.web.problem import ServiceError
from webui.web.state import State

ACTOR = Actor("token", "192.0.2.1")


def test_the_audit_log_is_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    audit.record(ACTOR, "default", "done", "It is\nthe default.", model="m", version="1.0")
    audit.record(ACTOR, "upload", "refused", "é is no name.")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["default", "upload"]
    assert json.loads(lines[0])["message"] == "It is\nthe default."
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open("a") as file:
        file.write("{half a line\n[]\n")
    again = Audit(path)
    assert again.recent() == audit.recent()
    assert [one.action for one in again.recent()] == ["upload", "default"]


def test_only_the_newest_entries_are_kept_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    for number in range(KEPT + 5):
        audit.record(ACTOR, "scale", "done", str(number))
    assert len(path.read_text().splitlines()) == KEPT + 5
    for log in (audit, Audit(path)):
        assert len(log.recent()) == KEPT
        assert log.recent()[0].message == str(KEPT + 4)


def test_an_audit_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audit = Audit(tmp_path / "nowhere" / "audit.jsonl")
    audit.record(ACTOR, "scale", "done", "Scaled.")
    assert audit.recent()[0].message == "Scaled."
    assert "cannot be written" in caplog.text


def test_without_a_file_the_process_s_log_has_it(caplog: pytest.LogCaptureFixture) -> None:
    Audit(None).record(ACTOR, "scale", "done", "Scaled.")
    assert '"action": "scale"' in caplog.text


def test_what_is_remembered_is_whole_or_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "versions.json"
    state = State(path)
    state.set("a", {"share": 0.5})
    state.set("b", "1.0")
    state.set("b", None)
    state.set("b", None)
    assert State(path).get("a") == {"share": 0.5}
    assert State(path).get("b") is None
    assert [one.name for one in tmp_path.iterdir()] == ["versions.json"]
    for broken in ("{half", "[]"):
        path.write_text(broken)
        assert State(path).get("a") is None
    assert "cannot be read" in caplog.text
    lost = State(tmp_path / "nowhere" / "versions.json")
    lost.set("a", 1)
    assert lost.get("a") == 1


def wait(jobs: Jobs, job: Job) -> Job:
    give_up = time.monotonic() + 10
    while (now := jobs.get(job.id)) and now.state == "running" and time.monotonic() < give_up:
        time.sleep(0.005)
    assert now
    return now


def test_a_job_ends_as_its_work_does(caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs()

    def refuse(_: jobs.Say) -> str:
        raise ServiceError("It cannot be.")

    def crash(_: jobs.Say) -> str:
        raise KeyError("secret")

    ended = [
        wait(jobs, jobs.start("scale", str(number), work))
        for number, work in enumerate([lambda say: "It is done.", refuse, crash])
    ]
    assert [(one.state, one.message) for one in ended] == [
        ("done", "It is done."),
        ("failed", "It cannot be."),
        ("failed", "Something went wrong here; see the page's log."),
    ]
    assert all(one.finished for one in ended)
    assert jobs.all() == ended[::-1]
    assert "secret" in caplog.text


def test_jobs_say_how_far_they_are_and_are_few_at_a_time() -> None:
    jobs, said, go = Jobs(), threading.Event(), threading.Event()

    def work(say: jobs.Say) -> str:
        say("Half of it.")
        said.set()
        assert go.wait(10)
        return "All of it."

    first = jobs.start("scale", "m 1", work)
    assert said.wait(10)
    now = jobs.get(first.id)
    assert now
    assert (now.state, now.message, now.finished) == ("running", "Half of it.", None)
    assert jobs.busy("m 1")
    with pytest.raises(ServiceError, match="m 1 is still under way"):
        jobs.start("scale", "m 1", work)
    others = [jobs.start("scale", f"m {n}", work) for n in range(2, module.AT_ONCE + 1)]
    with pytest.raises(ServiceError) as caught:
        jobs.start("scale", "m 99", work)
    assert (caught.value.code, caught.value.retry_after_s) == (503, 10)
    go.set()
    for job in (first, *others):
        assert wait(jobs, job).message == "All of it."
    assert not jobs.busy("m 1")


def test_old_jobs_are_forgotten() -> None:
    jobs = Jobs()
    ids = [
        wait(jobs, jobs.start("scale", "m 1", lambda say: "Done.")).id
        for _ in range(module.KEPT + 3)
    ]
    assert [one.id for one in jobs.all()] == ids[: -module.KEPT - 1 : -1]
    assert jobs.get(ids[0]) is None


def test_the_last_error_of_a_worker(tmp_path: Path) -> None:
    log = tmp_path / "model_log.log"
    assert (end(log), last_error(log, 0)) == (0, None)
    log.write_text("W-9000-m_1.0-stdout MODEL_LOG - OSError: long ago\n")
    offset = end(log)
    with log.open("a") as file:
        file.write("W-9001-m_2.0-stdout MODEL_LOG - Traceback (most recent call last):\n")
        file.write("W-9001-m_2.0-stdout MODEL_LOG - torch.OutOfMemoryError: too much \n")
        file.write("W-9000-m_1.0-stdout MODEL_LOG - ValueError: another's\n")
    assert last_error(log, offset) == "ValueError: another's"
    assert last_error(log, offset, "-m_2.0-") == "torch.OutOfMemoryError: too much"
    assert last_error(log, offset, "-m_3.0-") is None
