"""What the administrator does to the versions: each step, its checks, its undoing, its record."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webui.administrator.audit import Actor, Audit, Outcome
from webui.captions.canary import Canary, Setting
from webui.torchserve import worker_log
from webui.torchserve.client import TorchServeError
from webui.torchserve.management import Known, Management, Version
from webui.versions.archives import Store, shown
from webui.versions.jobs import Job, Jobs, Say
from webui.web.problem import ServiceError
from webui.web.state import State

POLL_S = 0.5
START_S = 330.0  # above the archive's own limit for a worker's start (startupTimeout)
MAX_CRASHES = 3  # of each worker, before it is given up
REASON = 300  # characters of a worker's last error that are passed on


class Refused(ServiceError):
    """What is asked for would stop the captions, or makes no sense just now."""

    code = 409
    type = "Refused"


@dataclass
class Deployment:
    """The versions of every model, and everything that changes them."""

    model_name: str  # the model that the page asks
    management: Management
    known: Known
    store: Store
    jobs: Jobs
    audit: Audit
    state: State
    canary: Canary
    model_log: Path | None

    # Registrations one after another: TorchServe can lose one of two first ones of a model.
    _registering: threading.Lock = field(default_factory=threading.Lock, init=False)
    _cards: dict[tuple[str, str, str], Any] = field(default_factory=dict, init=False)

    # --- What there is ---

    def models(self) -> list[dict[str, Any]]:
        """Every model with its versions, as the API answers them. Raises TorchServeError."""
        found = []
        for name in self.management.models():
            with contextlib.suppress(TorchServeError):  # unregistered meanwhile
                found.append(self.model(name))
        return found

    def model(self, name: str) -> dict[str, Any]:
        """One model as the API answers it."""
        versions = self.management.versions(name)
        default = next(one.version for one in versions if one.default)
        return {
            "name": name,
            "default": default,
            "previous_default": self._previous(name, versions),
            "versions": [self.described(name, one) for one in versions],
        }

    def described(self, model: str, version: Version) -> dict[str, Any]:
        """A version with its card: the archive's, or where that is not seen a worker's."""
        archive = self.store.get(version.archive)
        card = archive.card if archive else self._worker_card(model, version)
        return {**version.to_json(), "card": card}

    def _worker_card(self, model: str, version: Version) -> dict[str, Any] | None:
        key = (model, version.version, version.archive)
        if key not in self._cards and version.ready:
            try:
                self._cards[key] = shown(self.management.describe(model, version.version))
            except TorchServeError:
                return None  # asked again the next time
        return self._cards.get(key)

    def _previous(self, model: str, versions: list[Version]) -> str | None:
        """The default before this one, while it is still there."""
        stored = self.state.get(f"previous/{model}")
        return next((v.version for v in versions if v.version == stored and not v.default), None)

    # --- At once ---

    def set_default(self, actor: Actor, model: str, version: str) -> None:
        """Make a version the default; it must be able to caption."""
        with self._recorded(actor, "default", model, version) as say:
            say(self._make_default(model, version))

    def roll_back(self, actor: Actor, model: str) -> None:
        """Make the previous default the default again."""
        with self._recorded(actor, "rollback", model, None) as say:
            previous = self._previous(model, self.management.versions(model))
            if previous is None:
                raise Refused(
                    f"There is no previous default of {model} to go back to: none was changed, or "
                    "it is not registered any more. Choose a version and make it the default.",
                    type="NoPreviousDefault",
                )
            say(self._make_default(model, previous))

    def _make_default(self, model: str, version: str) -> str:
        if not self.management.version(model, version).ready:
            raise Refused(
                f"No worker of {model} {version} is ready, so that it could not caption. Give it "
                "workers and wait until one is ready.",
                type="NotReady",
            )
        before = self.management.default(model)
        self.management.set_default(model, version)
        if before != version:
            self.state.set(f"previous/{model}", before)
        return f"{model} {version} is the default; it was {before}."

    def unregister(self, actor: Actor, model: str, version: str) -> None:
        """Unregister a version; the archive stays in the model store."""
        with self._recorded(actor, "unregister", model, version) as say:
            if self.jobs.busy(f"{model} {version}"):
                raise Refused(
                    f"A job for {model} {version} is under way. Wait for its end.",
                    type="JobUnderWay",
                )
            versions = self.management.versions(model)
            if model == self.model_name and [one.version for one in versions] == [version]:
                raise Refused(
                    f"{model} {version} is the only version, and without it there are no captions. "
                    "Register another one first.",
                    code=403,
                    type="DefaultVersion",
                )
            self.management.unregister(model, version)
            if self.state.get(f"previous/{model}") == version:
                self.state.set(f"previous/{model}", None)
            setting = self.canary.setting
            gone = model == self.model_name and setting and setting.version == version
            if gone:
                self.canary.set(None)
            say(f"{model} {version} is unregistered." + (" The canary is off." if gone else ""))

    def set_canary(self, actor: Actor, setting: Setting | None) -> None:
        """Turn the canary on, for a version that is not the default, or off."""
        version = setting.version if setting else None
        with self._recorded(actor, "canary", self.model_name, version) as say:
            if setting and self.management.version(self.model_name, setting.version).default:
                raise Refused(
                    f"{setting.version} is the default and gets all captions anyway. Choose "
                    "another version.",
                    type="DefaultVersion",
                )
            self.canary.set(setting)
            share = f"{setting.share * 100:g}% of captions go to" if setting else ""
            say(f"{share} {self.model_name} {version}." if setting else "The canary is off.")

    # --- Jobs ---

    def register(
        self,
        actor: Actor,
        archive: str,
        workers: int,
        batch_size: int | None = None,
        max_batch_delay: int | None = None,
    ) -> Job:
        """Register an archive and start its workers; without success it is unregistered again."""
        found = self.store.get(archive)
        problem = found.problem if found else "There is no such file in the model store."
        if self.store.there and problem:
            error = ServiceError(
                f"{archive} cannot be registered. {problem}", code=404, type="NoSuchArchive"
            )
            raise self._noted(actor, "register", error, None, archive)
        model, version = (found.model, found.version) if found else (None, None)

        def work(say: Say) -> str:
            with self._recorded(actor, "register", model, version or archive) as done:
                say(f"Registering {archive}.")
                with self._registering:
                    name, number = self.management.register(
                        archive, batch_size=batch_size, max_batch_delay=max_batch_delay
                    )
                self.known.forget()
                self._or_undo(
                    lambda: self._start(name, number, workers, say),
                    lambda: self.management.unregister(name, number),
                )
                return done(f"{name} {number} is registered with {_workers(workers)}.")

        subject = f"{model} {version}" if found else archive
        return self.jobs.start("register", subject, work, model=model, version=version)

    def scale(self, actor: Actor, model: str, version: str, workers: int) -> Job:
        """Change the number of workers; without success it goes back to what it was."""
        now = self.management.version(model, version)
        if workers == 0 and now.default and model == self.model_name:
            error = Refused(
                f"{model} {version} is the default, and without workers there are no captions. "
                "Make another version the default first.",
                type="DefaultVersion",
            )
            raise self._noted(actor, "scale", error, model, version)

        def work(say: Say) -> str:
            with self._recorded(actor, "scale", model, version) as done:
                self._or_undo(
                    lambda: self._start(model, version, workers, say),
                    lambda: self.management.scale(model, version, now.max_workers),
                )
                return done(f"{model} {version} has {_workers(workers)}.")

        return self.jobs.start("scale", f"{model} {version}", work, model=model, version=version)

    def _start(self, model: str, version: str, workers: int, say: Say) -> None:
        """Ask for workers and wait until all are ready. Raises ServiceError."""
        offset = worker_log.end(self.model_log) if self.model_log else 0
        self.management.scale(model, version, workers)
        processes: set[int] = set()
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up:
            now = self._look(model, version)
            if now:
                if now.ready == len(now.workers) == workers:
                    return
                processes |= {one.pid for one in now.workers if one.pid > 0}
                say(f"{now.ready} of {_workers(workers)} ready.")
            if len(processes) > MAX_CRASHES * max(1, workers):
                reason = self._reason(model, version, offset)
                raise ServiceError(
                    f"The workers of {model} {version} crash while starting{reason}. "
                    "What was begun is undone.",
                    code=502,
                    type="WorkersCrash",
                )
            time.sleep(POLL_S)
        raise ServiceError(
            f"Not all workers of {model} {version} were ready after {START_S:g} s"
            f"{self._reason(model, version, offset)}. What was begun is undone.",
            code=504,
            type="TooSlow",
        )

    def _look(self, model: str, version: str) -> Version | None:
        """The version as it is now; None while TorchServe is slow or away. A 404 is raised."""
        try:
            return self.management.version(model, version)
        except TorchServeError as error:
            if error.code == 404:
                raise
            return None

    def _reason(self, model: str, version: str, offset: int) -> str:
        if self.model_log is None:
            return ""
        error = worker_log.last_error(self.model_log, offset, f"-{model}_{version}-")
        return f": {error[:REASON].rstrip('.')}" if error else ""

    def _noted(
        self, actor: Actor, action: str, error: ServiceError, model: str | None, version: str
    ) -> ServiceError:
        """The error, once it is in the audit log: what is refused before a job begins."""
        self.audit.record(actor, action, "refused", error.message, model=model, version=version)
        return error

    @staticmethod
    def _or_undo(do: Callable[[], None], undo: Callable[[], None]) -> None:
        try:
            do()
        except Exception:
            with contextlib.suppress(TorchServeError):
                undo()
            raise

    @contextlib.contextmanager
    def _recorded(
        self, actor: Actor, action: str, model: str | None, version: str | None
    ) -> Iterator[Callable[[str], str]]:
        """Write what comes of the block into the audit log; it says its success itself."""
        said: list[str] = []

        def say(text: str) -> str:
            said.append(text)
            return text

        try:
            yield say
        except Exception as error:
            outcome: Outcome = "refused" if isinstance(error, Refused) else "failed"
            message = error.message if isinstance(error, ServiceError) else "Unexpected error."
            self.audit.record(actor, action, outcome, message, model=model, version=version)
            raise
        else:
            self.audit.record(actor, action, "done", said[-1], model=model, version=version)
        finally:
            self.known.forget()


def _workers(number: int) -> str:
    return f"{number} worker" if number == 1 else f"{number} workers"
