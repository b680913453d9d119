"""The jobs: how they end, and how many there are."""

from __future__ import annotations

import threading
import time

import pytest

from webui.versions import jobs as module
from webui.versions.jobs import Job, Jobs, Progress
from webui.web.problem import ServiceError


def wait(jobs: Jobs, job: Job) -> Job:
    give_up = time.monotonic() + 10
    while (now := jobs.get(job.id)) and now.state == "running" and time.monotonic() < give_up:
        time.sleep(0.005)
    assert now
    return now


def test_a_job_ends_as_its_work_does(caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs()

    def refuse(_: Progress) -> str:
        raise ServiceError("It cannot be.")

    def crash(_: Progress) -> str:
        raise KeyError("secret")

    ended = [
        wait(jobs, jobs.start("scale", str(number), work))
        for number, work in enumerate([lambda progress: "It is done.", refuse, crash])
    ]
    assert [(one.state, one.message) for one in ended] == [
        ("done", "It is done."),
        ("failed", "It cannot be."),
        ("failed", "Something went wrong here; see the page's log."),
    ]
    assert all(one.finished for one in ended)
    assert jobs.all() == ended[::-1]
    assert "secret" in caplog.text


def test_jobs_show_their_progress_and_are_few_at_a_time() -> None:
    jobs, begun, go = Jobs(), threading.Event(), threading.Event()

    def work(progress: Progress) -> str:
        progress("Half of it.")
        begun.set()
        assert go.wait(10)
        return "All of it."

    first = jobs.start("scale", "m 1", work)
    assert begun.wait(10)
    now = jobs.get(first.id)
    assert now
    assert (now.state, now.message, now.finished) == ("running", "Half of it.", None)
    assert jobs.busy("m 1")
    with pytest.raises(ServiceError, match="m 1 is still running"):
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
        wait(jobs, jobs.start("scale", "m 1", lambda progress: "Done.")).id
        for _ in range(module.KEPT + 3)
    ]
    assert [one.id for one in jobs.all()] == ids[: -module.KEPT - 1 : -1]
    assert jobs.get(ids[0]) is None
