"""TorchServe's management API: models, their versions and workers."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

import psutil

from webui.torchserve.client import MANAGEMENT_TIMEOUT_S, Query, TorchServe, text
from webui.torchserve.errors import TorchServeError
from webui.torchserve.refusals import ARCHIVE, VERSION, Refusals, refused, unreadable

log = logging.getLogger(__name__)

T = TypeVar("T")

REGISTERED = re.compile(r'Model "([^"]+)" Version: (\S+) registered')
REGISTER_TIMEOUT_S = 120.0  # the archive is unpacked within the call
DESCRIBE_TIMEOUT_S = 10.0  # a worker answers, after the captions before it
PAGES = 20  # of 100 models each, at most
INTERNAL = ("pid", "gpu_usage")  # of a worker, not for the API


@dataclass(frozen=True)
class Worker:
    """One worker process."""

    id: str
    state: str  # READY; UNLOADING is TorchServe's word while it starts, too
    memory_bytes: int | None  # None where it is not known
    gpu: bool
    started: str  # UTC, ISO 8601
    pid: int  # -1 before the process lives
    gpu_usage: str  # nvidia-smi's line; "N/A" on a CPU


@dataclass(frozen=True)
class Version:
    """One version of a model as TorchServe has it now."""

    version: str
    default: bool
    archive: str
    workers: tuple[Worker, ...]
    min_workers: int
    max_workers: int
    queue_remaining: int
    queue_pending: int
    batch_size: int
    max_batch_delay_ms: int

    @property
    def ready(self) -> int:
        """The number of READY workers."""
        return sum(worker.state == "READY" for worker in self.workers)

    def to_json(self) -> dict[str, Any]:
        """The form in which the API answers: without process ids, which are internal."""
        members = asdict(self)
        pending, remaining = members.pop("queue_pending"), members.pop("queue_remaining")
        members["queue"] = {"remaining": remaining, "pending": pending}
        members["workers"] = [
            {name: value for name, value in worker.items() if name not in INTERNAL}
            for worker in members["workers"]
        ]
        return members


class Management:
    """The calls, over the one client's transport. All raise TorchServeError."""

    def __init__(self, client: TorchServe) -> None:
        self._client = client

    def models(self) -> list[str]:
        """The names of all models."""
        names: list[str] = []
        page = None
        for _ in range(PAGES):
            body = self._call("GET", "", "Models", {"limit": 100, "next_page_token": page})
            names += _read(partial(_names, body))
            page = text(body, "nextPageToken")
            if not page:
                break
        return sorted(names)

    def default(self, model: str) -> Version:
        """The default version of a model."""
        body = self._call("GET", f"/{model}", model)
        return _read(lambda: _version(body[0], body[0]["modelVersion"]))

    def versions(self, model: str) -> list[Version]:
        """Every version of a model, in the order of their numbers."""
        default = self.default(model).version
        body = self._call("GET", f"/{model}/all", model)
        found = _read(lambda: [_version(one, default) for one in body])
        return sorted(found, key=lambda one: _numbers(one.version))

    def version(self, model: str, version: str) -> Version:
        """One version; a 404 where there is none."""
        for one in self.versions(model):
            if one.version == version:
                return one
        raise refused(404, None, f"{model} {version}")

    def register(
        self, archive: str, *, batch_size: int | None = None, max_batch_delay: int | None = None
    ) -> tuple[str, str]:
        """Register an archive of the model store, without workers; its model and version.

        TorchServe starts workers within the call when it is asked to, for minutes, in a thread that
        takes captions too: therefore none here.
        """
        query: Query = {
            "url": archive,
            "initial_workers": 0,
            "synchronous": "false",
            "batch_size": batch_size,
            "max_batch_delay": max_batch_delay,
        }
        body = self._call("POST", "", archive, query, ARCHIVE, REGISTER_TIMEOUT_S)
        found = REGISTERED.search(text(body, "status"))
        if found is None:
            raise unreadable()
        return found[1], found[2]

    def scale(self, model: str, version: str, workers: int) -> None:
        """Ask for this number of workers; they come and go afterwards."""
        path, subject = f"/{model}/{version}", f"{model} {version}"
        wanted: Query = {"min_worker": workers, "max_worker": workers, "synchronous": "false"}
        with self._client.gate.shut():
            self._call("PUT", path, subject, wanted)

    def set_default(self, model: str, version: str) -> None:
        """Make a version the default."""
        self._call("PUT", f"/{model}/{version}/set-default", f"{model} {version}")

    def unregister(self, model: str, version: str) -> None:
        """Unregister a version; TorchServe refuses the default while there are others."""
        with self._client.gate.shut():
            self._call("DELETE", f"/{model}/{version}", f"{model} {version}")

    def describe(self, model: str, version: str) -> dict[str, Any]:
        """The model card as a worker of the version answers it; one must be READY."""
        path, subject = f"/{model}/{version}", f"{model} {version}"
        query: Query = {"customized": "true"}
        body = self._call("GET", path, subject, query, timeout_s=DESCRIBE_TIMEOUT_S)
        return _read(lambda: dict(body[0].get("customizedMetadata") or {}))

    def _call(
        self,
        method: str,
        path: str,
        subject: str,
        query: Query | None = None,
        refusals: Refusals = VERSION,
        timeout_s: float = MANAGEMENT_TIMEOUT_S,
    ) -> Any:
        """The JSON of a call of /models that succeeds; `subject` is what an error is about."""
        status, body = self._client.manage(method, f"/models{path}", query, timeout_s)
        if status not in (200, 202):
            raise refused(status, body, subject, refusals)
        return body


class Known:
    """The versions of one model, fetched at most every `LIFE_S` seconds, whoever asks."""

    LIFE_S = 2.0

    def __init__(self, management: Management, model: str) -> None:
        self.model = model
        self._management = management
        self._lock = threading.Lock()
        self._until = 0.0
        self._versions: list[Version] = []
        self._error: TorchServeError | None = None

    def versions(self) -> list[Version]:
        """The versions as they were at most two seconds ago. Raises TorchServeError."""
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    self._error = None
                    self._versions = self._management.versions(self.model)
                except TorchServeError as error:
                    self._error = error  # for all who wait, who would find out no sooner
                self._until = time.monotonic() + self.LIFE_S
            if self._error is not None:
                raise self._error
            return self._versions

    def last(self) -> list[Version]:
        """The versions as they were fetched last."""
        return self._versions

    def forget(self) -> None:
        """Fetch them again the next time: something was changed."""
        self._until = 0.0


def _names(body: Any) -> list[str]:
    return [str(one["modelName"]) for one in body["models"]]


def _version(raw: Any, default: str) -> Version:
    queue = raw["jobQueueStatus"]
    return Version(
        version=str(raw["modelVersion"]),
        default=raw["modelVersion"] == default,
        archive=str(raw["modelUrl"]),
        workers=tuple(_worker(one) for one in raw["workers"]),
        min_workers=int(raw["minWorkers"]),
        max_workers=int(raw["maxWorkers"]),
        queue_remaining=int(queue["remainingCapacity"]),
        queue_pending=int(queue["pendingRequests"]),
        batch_size=int(raw["batchSize"]),
        max_batch_delay_ms=int(raw["maxBatchDelay"]),
    )


def _worker(raw: Any) -> Worker:
    pid = int(raw["pid"])
    return Worker(
        id=str(raw["id"]),
        state=str(raw["status"]),
        memory_bytes=int(raw["memoryUsage"]) or _memory(pid),
        gpu=bool(raw["gpu"]),
        started=str(raw["startTime"]),
        pid=pid,
        gpu_usage=str(raw.get("gpuUsage", "")),
    )


def _memory(pid: int) -> int | None:
    """Resident bytes of a worker on this machine.

    TorchServe reports 0 while its system metrics are off. The process is looked at first: where
    the page runs elsewhere, another may have the number.
    """
    try:
        process = psutil.Process(pid)
        if any(word.endswith("model_service_worker.py") for word in process.cmdline()):
            return int(process.memory_info().rss)
    except (psutil.Error, ValueError):
        pass
    return None


def _numbers(version: str) -> list[tuple[int, str]]:
    """So that 1.10 comes after 1.9."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in version.split(".")]


def _read(parse: Callable[[], T]) -> T:
    """What `parse` makes of an answer; an answer of another shape is an error of TorchServe's."""
    try:
        return parse()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        log.error("TorchServe's answer could not be read: %r", error)
        raise unreadable() from error
