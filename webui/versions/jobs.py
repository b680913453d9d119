"""Calls that can take minutes, each in a thread of its own, and their outcomes."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from webui.administrator.audit import now
from webui.web.problem import ServiceError

log = logging.getLogger(__name__)

KEPT = 50  # jobs that are remembered
AT_ONCE = 4

Progress = Callable[[str], None]  # shows people how far a job is
Work = Callable[[Progress], str]


@dataclass(frozen=True)
class Job:
    """One job as it stands; `message` is its progress, or its outcome once it has ended."""

    id: str
    action: str
    subject: str  # what it works on; not for the API
    model: str | None
    version: str | None
    state: Literal["running", "done", "failed"]
    message: str
    started: str  # UTC, ISO 8601
    finished: str | None

    def to_json(self) -> dict[str, Any]:
        """The form in which the API answers."""
        return {name: value for name, value in asdict(self).items() if name != "subject"}


def _begun(action: str, subject: str, model: str | None, version: str | None) -> Job:
    key = secrets.token_hex(8)
    return Job(key, action, subject, model, version, "running", "Begun.", now(), None)


class Jobs:
    """The jobs of this process. Their threads end with it: nothing waits for a worker at a stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    def start(
        self,
        action: str,
        subject: str,
        work: Work,
        *,
        model: str | None = None,
        version: str | None = None,
    ) -> Job:
        """Run `work` in a thread; it gets a function that shows its progress.

        It returns its last message, or raises. Raises ServiceError: 409 while another job works on
        the same `subject`, 503 while too many run.
        """
        job = _begun(action, subject, model, version)
        with self._lock:
            if len(self._subjects()) >= AT_ONCE:
                raise ServiceError(
                    f"{AT_ONCE} jobs are running. Wait for one of them to end and try again.",
                    code=503,
                    type="Busy",
                    retry_after_s=10,
                )
            self._add(job)
        threading.Thread(target=self._run, args=(job.id, work), daemon=True).start()
        return job

    def run(self, action: str, model: str, version: str, work: Work) -> None:
        """Run `work` on a version in this thread, however many others run.

        Its outcome is the job's; nothing but a ServiceError 409, for another job that works on the
        same version, is raised.
        """
        job = _begun(action, f"{model} {version}", model, version)
        with self._lock:
            self._add(job)
        self._run(job.id, work)

    def get(self, identifier: str) -> Job | None:
        """The job with this id as it stands now."""
        with self._lock:
            return self._jobs.get(identifier)

    def all(self) -> list[Job]:
        """Every job that is remembered, the newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def busy(self, subject: str) -> bool:
        """Whether a job works on `subject` just now."""
        with self._lock:
            return subject in self._subjects()

    def _subjects(self) -> list[str]:
        """What the running jobs work on."""
        return [one.subject for one in self._jobs.values() if one.state == "running"]

    def _add(self, job: Job) -> None:
        if job.subject in self._subjects():
            raise ServiceError(
                f"A job for {job.subject} is still running. Wait for its end and try again.",
                code=409,
                type="JobUnderWay",
            )
        self._jobs[job.id] = job
        ended = [one.id for one in self._jobs.values() if one.state != "running"]
        for oldest in ended[: max(0, len(self._jobs) - KEPT)]:
            del self._jobs[oldest]

    def _run(self, key: str, work: Work) -> None:
        state, message = "failed", "Something went wrong here; see the page's log."
        try:
            message = work(lambda text: self._change(key, message=text))
            state = "done"
        except ServiceError as error:
            message = error.message
        except Exception:
            log.exception("The job %s ended unexpectedly", key)
        self._change(key, state=state, message=message, finished=now())

    def _change(self, key: str, **changes: Any) -> None:
        with self._lock:
            self._jobs[key] = replace(self._jobs[key], **changes)
