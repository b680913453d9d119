"""Looks at the service every few seconds and remembers an hour, so that the page has a past."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from webui.operations.figures import Counts, count, figures
from webui.operations.health import Health, judge
from webui.telemetry.metrics import Metrics
from webui.torchserve.management import Management, Version
from webui.torchserve.report import Report
from webui.torchserve.startup import Startup
from webui.web.problem import ServiceError
from webui.web.shared import Memory, Shared, StoreAway

log = logging.getLogger(__name__)

EVERY_S = 10.0
HOUR_S = 3600.0
SERIES = ("time", "captions", "p95_seconds", "failed_share", "waiting")

Known = tuple[Sequence[Version], Any]  # what TorchServe serves, and the canary's setting or None


class Watch:
    """An hour of figures in memory, bounded, and what changed in it.

    `start` has a thread look. Without it (in tests, or under a server that does not start it)
    whoever asks for the snapshot looks, and the past has gaps. `canary` answers the canary's
    setting, which has a version and a share, or None; `log` is where TorchServe collects what
    workers write; `report` answers what the launcher says about TorchServe.
    """

    def __init__(
        self,
        management: Management,
        model: str,
        metrics: Metrics,
        canary: Callable[[], Any],
        log: Path | None,
        report: Callable[[], Report | None] = lambda: None,
        shared: Shared | None = None,
    ) -> None:
        self._management, self._model = management, model
        self._metrics, self._canary = metrics, canary
        self._log = log
        self._report = report
        self._shared = shared or Memory()
        self._told: Counts = Counter()  # of this page, in the shared store
        self._starts: int | None = None  # of TorchServe
        self._startup = Startup(log)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._counts: deque[tuple[float, Counts]] = deque(maxlen=7)  # a minute, both ends
        self._points: deque[dict[str, Any]] = deque(maxlen=int(HOUR_S / EVERY_S))
        self._marks: deque[dict[str, Any]] = deque(maxlen=50)  # however often a worker crashes
        self._known: Known | None = None  # when TorchServe answered last
        self._away = False
        self._snapshot: dict[str, Any] = {}

    def start(self) -> None:
        """Look every EVERY_S from now on, in a thread that ends with the process."""
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread:
            self._thread.join()

    def snapshot(self) -> dict[str, Any]:
        """The newest look and the past before it, as the API answers them."""
        if self._thread is None or not self._snapshot:
            self._look()
        return self._snapshot  # whole: a look that is under way keeps nobody waiting

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._look()
            except Exception:  # a look that goes wrong must not be the last
                log.exception("A look at the service failed")
            self._stopped.wait(EVERY_S)

    def _look(self) -> None:
        """Ask TorchServe, count, and remember."""
        with self._lock:
            now = round(time.time(), 1)
            versions, problem = self._ask()
            self._marks.extend({"time": now, "text": text} for text in self._news(versions))
            known = versions or []
            self._metrics.serving(known)
            self._count(now)
            (begin, then), (end, counted) = self._counts[0], self._counts[-1]
            waiting = sum(one.queue_pending for one in known)
            point = {
                "time": now,
                **figures(then, counted, end - begin),
                "waiting": waiting if known else None,
                "places": waiting + sum(one.queue_remaining for one in known),
            }
            self._points.append(point)
            health = problem or judge(known, point, self._worker_error(known))
            if health.state == "good" and self._shared.problem:
                health = Health("warning", health.sentence, self._shared.problem)
            past = [one for one in self._points if one["time"] > now - HOUR_S]
            self._snapshot = {
                "health": health._asdict(),
                "now": point,
                "history": {name: [one[name] for one in past] for name in SERIES},
                "marks": [mark for mark in self._marks if mark["time"] > now - HOUR_S],
                "versions": [{**one.to_json(), "gpus": gpus(one)} for one in known],
            }

    def _count(self, now: float) -> None:
        """Add what this page counted to what all did; while their store is away, wait with it."""
        own = count(self._metrics.registry)
        more = {" ".join(key): number - self._told[key] for key, number in own.items()}
        try:
            total = self._shared.add(
                "figures", {key: number for key, number in more.items() if number}
            )
        except StoreAway:
            if not self._counts:
                self._counts.append((now, Counter()))
            return
        self._told = own
        counted: Counts = Counter()
        for key, number in total.items():
            name, _, label = key.partition(" ")
            counted[name, label] = number
        if self._counts and self._counts[-1][1] - counted:  # the store lost what it had
            self._counts.clear()
        self._counts.append((now, counted))

    def _ask(self) -> tuple[list[Version] | None, Health | None]:
        """The model's versions, none while it is not loaded; or None, and what that means."""
        try:
            return self._management.versions(self._model), None
        except ServiceError as error:
            if error.code == 404:
                return [], None
            if error.type == "Restarting" and (report := self._report()):
                return None, restarting(report)
            cause = f"It may be starting, stopped or overloaded; its log says which ({error.type})."
            what = "TorchServe does not answer, so no captions are expected."
            return None, Health("bad", what, cause)

    def _worker_error(self, versions: Sequence[Version]) -> str | None:
        """What a worker wrote last since all of them were ready, while one is not."""
        if all(one.ready == len(one.workers) for one in versions):
            self._startup = Startup(self._log)
            return None
        return self._startup.last_error()

    def _news(self, versions: Sequence[Version] | None) -> Iterator[str]:
        """What is not as it was when TorchServe last answered."""
        before, self._away = self._away, versions is None
        if self._known and self._away != before:
            yield "TorchServe stopped answering." if self._away else "TorchServe answers again."
        report = self._report()
        if report and self._starts is not None and report.starts > self._starts:
            yield f"TorchServe was started again. {report.reason}."
        self._starts = report.starts if report else None
        if versions is not None:
            now = versions, self._canary()
            yield from changes(self._known, now) if self._known else ()
            self._known = now


def restarting(report: Report) -> Health:
    """What is known while the launcher starts TorchServe again; for the administrator alone."""
    ended = "\n".join((f"{report.reason}. Its log ended with:", *report.log))
    return Health("bad", report.sentence, ended if report.failures else "")


def gpus(version: Version) -> list[str]:
    """What nvidia-smi told of each GPU that a worker computes on."""
    return sorted({worker.gpu_usage for worker in version.workers if worker.gpu})


def changes(then: Known, now: Known) -> Iterator[str]:
    """What is different, a sentence each."""
    old, new = ({one.version: one for one in versions} for versions, _ in (then, now))
    yield from (f"{one} was registered." for one in new if one not in old)
    yield from (f"{one} was unregistered." for one in old if one not in new)
    for one in new.values():
        before = old.get(one.version)
        if one.default and not (before and before.default):
            yield f"{one.version} became the default."
        # A worker that is started again keeps its id, and has no process, then another.
        pids = {worker.id: worker.pid for worker in before.workers} if before else {}
        if any(0 < pids.get(worker.id, 0) != worker.pid for worker in one.workers):
            yield f"A worker of {one.version} restarted."
    canary = now[1]
    if canary and canary != then[1]:
        yield f"{canary.version} is the canary, with {canary.share:.0%} of the captions."
    elif then[1] and not canary:
        yield "The canary was turned off."
