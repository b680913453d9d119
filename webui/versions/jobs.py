"""Calls that can take minutes, in threads of their own, and what has become of them."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from webui.administrator.audit import now
from webui.web.problem import ServiceError

log = logging.getLogger(__name__)

KEPT = 50  # jobs that are remembered
AT_ONCE = 4

Say = Callable[[str], None]
Work = Callable[[Say], str]


@dataclass(frozen=True)
class Job:
    """One job as it stands; `message` says how far it is, or how it ended."""

    id: str
    action: str
    model: str | None
    version: str | None
    state: Literal["running", "done", "failed"]
    message: str
    started: str  # UTC, ISO 8601
    finished: str | None


class Jobs:
    """The jobs of this process. Their threads end with it: nothing waits for a worker at a stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._subjects: dict[str, str] = {}  # id of a running job -> what it works on

    def start(
        self,
        action: str,
        subject: str,
        work: Work,
        *,
        model: str | None = None,
        version: str | None = None,
    ) -> Job:
        """Run `work` in a thread; it is given a function that says how far it is.

        It returns its last message, or raises. Raises ServiceError: 409 while another job works on
        the same `subject`, 503 while too many run.
        """
        job = Job(secrets.token_hex(8), action, model, version, "running", "Begun.", now(), None)
        with self._lock:
            self._claim(job.id, subject)
            self._jobs[job.id] = job
            self._forget()
        threading.Thread(target=self._run, args=(job.id, work), daemon=True).start()
        return job

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
            return subject in self._subjects.values()

    def _claim(self, identifier: str, subject: str) -> None:
        if subject in self._subjects.values():
            raise ServiceError(
                f"A job for {subject} is still under way. Wait for its end and try again.",
                code=409,
                type="JobUnderWay",
            )
        if len(self._subjects) >= AT_ONCE:
            raise ServiceError(
                f"{AT_ONCE} jobs are under way. Wait for one of them to end and try again.",
                code=503,
                type="Busy",
                retry_after_s=10,
            )
        self._subjects[identifier] = subject

    def _forget(self) -> None:
        """Forget the oldest that have ended."""
        ended = [one.id for one in self._jobs.values() if one.state != "running"]
        for identifier in ended[: max(0, len(self._jobs) - KEPT)]:
            del self._jobs[identifier]

    def _run(self, identifier: str, work: Work) -> None:
        state: Literal["done", "failed"] = "failed"
        message = "Something went wrong here; see the page's log."
        try:
            message = work(lambda text: self._change(identifier, message=text))
            state = "done"
        except ServiceError as error:
            message = error.message
        except Exception:
            log.exception("The job %s ended unexpectedly", identifier)
        with self._lock:
            self._subjects.pop(identifier)
            job = self._jobs[identifier]
            self._jobs[identifier] = replace(job, state=state, message=message, finished=now())

    def _change(self, identifier: str, message: str) -> None:
        with self._lock:
            self._jobs[identifier] = replace(self._jobs[identifier], message=message)
