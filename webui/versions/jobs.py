"""Calls that can take minutes, each in a thread of its own, and their outcomes."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from webui.administrator.audit import now
from webui.web.problem import ServiceError
from webui.web.shared import Memory, Shared, StoreAway

log = logging.getLogger(__name__)

RESTORE = "restore"
KEPT = 50  # jobs that are remembered
AT_ONCE = 4
# Seconds for which a running job is remembered after a sign of life: so it goes with its page.
ALIVE_S = 60.0
ENDED_S = 7 * 86_400.0

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
    """The jobs of all pages. Their threads end with theirs: nothing waits for a worker at a stop.

    While the shared store is away none is started, and those that run go on.
    """

    def __init__(self, shared: Shared | None = None) -> None:
        self._shared = shared or Memory()
        self._lock, self._telling = threading.Lock(), threading.Lock()
        self._running: dict[str, Job] = {}  # of this page, or their end is not known to all
        self._alive: threading.Thread | None = None

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
        the same `subject`, in any page, 503 while too many run.
        """
        job = _begun(action, subject, model, version)
        with self._shared.locked("jobs"):
            subjects = self._subjects()
            if len(subjects) >= AT_ONCE:
                raise ServiceError(
                    f"{AT_ONCE} jobs are running. Wait for one of them to end and try again.",
                    code=503,
                    type="Busy",
                    retry_after_s=10,
                )
            self._add(job, subjects)
        threading.Thread(target=self._run, args=(job.id, work), daemon=True).start()
        return job

    def restore(self, model: str, version: str, work: Work) -> None:
        """Run `work` on a version in this thread, however many others run.

        Its outcome is the job's; nothing but a ServiceError 409, for another job that works on the
        same version in this page, is raised: another page's TorchServe is its own.
        """
        job = _begun(RESTORE, f"{model} {version}", model, version)
        self._add(job, [])
        self._run(job.id, work)

    def get(self, identifier: str) -> Job | None:
        """The job with this id as it stands now. Raises StoreAway, as all that follow."""
        with self._lock:
            if job := self._running.get(identifier):
                return job
        [text] = self._shared.texts(f"job:{identifier}")
        return Job(**json.loads(text)) if text else None

    def all(self) -> list[Job]:
        """Every job that is remembered, the newest first."""
        keys = [f"job:{one}" for one in self._shared.listed("jobs")]
        return [Job(**json.loads(text)) for text in self._shared.texts(*keys) if text]

    def busy(self, subject: str) -> bool:
        """Whether a job works on `subject` just now."""
        return subject in self._subjects()

    def _subjects(self) -> list[str]:
        """What the running jobs work on; but for what other pages restore, each for itself."""
        running = [one for one in self.all() if one.state == "running"]
        return [one.subject for one in running if one.action != RESTORE or one.id in self._running]

    def _add(self, job: Job, subjects: list[str]) -> None:
        with self._lock:
            mine = [one.subject for one in self._running.values() if one.state == "running"]
            self._check(job, [*mine, *subjects])
            self._running[job.id] = job
            if self._alive is None:
                self._alive = threading.Thread(target=self._keep_alive, daemon=True)
                self._alive.start()
        with suppress(StoreAway):
            self._tell(job.id)
            fallen = self._shared.push("jobs", job.id, KEPT)
            self._shared.drop(*(f"job:{one}" for one in fallen))

    @staticmethod
    def _check(job: Job, subjects: list[str]) -> None:
        if job.subject in subjects:
            raise ServiceError(
                f"A job for {job.subject} is still running. Wait for its end and try again.",
                code=409,
                type="JobUnderWay",
            )

    def _tell(self, key: str) -> None:
        """Let all pages know how a job of this one stands. Raises StoreAway."""
        with self._telling:
            if (job := self._running.get(key)) is None:
                return  # its end was told just now
            life_s = ALIVE_S if job.state == "running" else ENDED_S
            self._shared.put(f"job:{key}", json.dumps(asdict(job)), life_s)
            if job.state != "running":
                with self._lock:
                    del self._running[key]

    def _keep_alive(self) -> None:
        while True:
            time.sleep(ALIVE_S / 4)
            for key in list(self._running):
                with suppress(StoreAway):
                    self._tell(key)

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
            self._running[key] = replace(self._running[key], **changes)
        with suppress(StoreAway):
            self._tell(key)
