"""What the administrator changes: each step with its check, its undoing and its audit entry."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from webui.administrator.audit import Actor, Audit, Refused
from webui.captions.canary import Canary, Setting
from webui.torchserve.client import TorchServeError
from webui.torchserve.management import Known, Management
from webui.versions.catalogue import Catalogue
from webui.versions.jobs import Job, Jobs, Progress
from webui.versions.workers import Workers, count


@dataclass
class Deployment:
    """Changes the versions. What takes seconds at most is done at once, the rest is a job.

    Every method raises ServiceError: Refused before anything is begun, another when it fails.
    """

    management: Management
    catalogue: Catalogue
    known: Known  # the versions of the model that the page asks
    canary: Canary
    workers: Workers
    jobs: Jobs
    audit: Audit

    # Registrations one after another: TorchServe can lose one of two first ones of a model.
    _registering: threading.Lock = field(default_factory=threading.Lock, init=False)

    # --- At once ---

    def set_default(self, actor: Actor, model: str, version: str) -> None:
        """Make a version the default; it must be able to caption."""
        with self._recorded(actor, "default", model, version) as done:
            done(self._make_default(model, version))

    def roll_back(self, actor: Actor, model: str) -> None:
        """Make the previous default the default again."""
        with self._recorded(actor, "rollback", model, None) as done:
            versions = self.management.versions(model)
            previous = self.catalogue.previous_default(model, versions)
            if previous is None:
                raise Refused(
                    f"There is no previous default of {model} to go back to: none was changed, or "
                    "it is no longer registered. Choose a version and make it the default.",
                    type="NoPreviousDefault",
                )
            done(self._make_default(model, previous))

    def _make_default(self, model: str, version: str) -> str:
        if not self.management.version(model, version).ready:
            raise Refused(
                f"No worker of {model} {version} is ready, so it could not caption. Give it "
                "workers and wait until one is ready.",
                type="NotReady",
            )
        before = self.management.default(model).version
        self.management.set_default(model, version)
        if before != version:
            self.catalogue.remember_default(model, before)
        return f"{model} {version} is the default; it was {before}."

    def unregister(self, actor: Actor, model: str, version: str) -> None:
        """Unregister a version that is neither the default nor being changed."""
        with self._recorded(actor, "unregister", model, version) as done:
            if self.jobs.busy(f"{model} {version}"):
                raise Refused(
                    f"A job for {model} {version} is running. Wait for its end.",
                    type="JobUnderWay",
                )
            versions = self.management.versions(model)
            if model == self.known.model and [one.version for one in versions] == [version]:
                raise Refused(
                    f"{model} {version} is the only version, and without it there are no captions. "
                    "Register another one first.",
                    code=403,
                    type="DefaultVersion",
                )
            self.management.unregister(model, version)
            self.catalogue.forget_default(model, version)
            setting = self.canary.setting
            was_canary = model == self.known.model and setting and setting.version == version
            if was_canary:
                self.canary.set(None)
            also = " The canary is off." if was_canary else ""
            done(f"{model} {version} is unregistered.{also}")

    def set_canary(self, actor: Actor, setting: Setting | None) -> None:
        """Turn the canary on, for a version that is not the default, or off."""
        model, version = self.known.model, setting.version if setting else None
        with self._recorded(actor, "canary", model, version) as done:
            if setting and self.management.version(model, setting.version).default:
                raise Refused(
                    f"{version} is the default and gets all captions anyway. Choose another "
                    "version.",
                    type="DefaultVersion",
                )
            self.canary.set(setting)
            if setting:
                done(f"{setting.share * 100:g}% of captions go to {model} {version}.")
            else:
                done("The canary is off.")

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
        with self._recorded(actor, "register", None, archive):
            found = self.catalogue.store.find(archive)
        model, version = (found.model, found.version) if found else (None, None)

        def work(progress: Progress) -> str:
            with self._recorded(actor, "register", model, version or archive) as done:
                progress(f"Registering {archive}.")
                with self._registering:
                    name, number = self.management.register(
                        archive, batch_size=batch_size, max_batch_delay=max_batch_delay
                    )
                self.known.forget()
                with _undone_by(lambda: self.management.unregister(name, number)):
                    self.workers.scale(name, number, workers, progress)
                return done(f"{name} {number} is registered with {count(workers)}.")

        subject = f"{model} {version}" if found else archive
        return self.jobs.start("register", subject, work, model=model, version=version)

    def scale(self, actor: Actor, model: str, version: str, workers: int) -> Job:
        """Change the number of workers; without success it goes back to what it was."""
        now = self.management.version(model, version)
        with self._recorded(actor, "scale", model, version):
            if workers == 0 and now.default and model == self.known.model:
                raise Refused(
                    f"{model} {version} is the default, and without workers there are no captions. "
                    "Make another version the default first.",
                    type="DefaultVersion",
                )

        def work(progress: Progress) -> str:
            with self._recorded(actor, "scale", model, version) as done:
                with _undone_by(lambda: self.management.scale(model, version, now.max_workers)):
                    self.workers.scale(model, version, workers, progress)
                return done(f"{model} {version} has {count(workers)}.")

        return self.jobs.start("scale", f"{model} {version}", work, model=model, version=version)

    @contextmanager
    def _recorded(
        self, actor: Actor, action: str, model: str | None, version: str | None
    ) -> Iterator[Callable[[str], str]]:
        """Record the block's outcome in the audit log, and have the versions fetched again."""
        try:
            with self.audit.recorded(actor, action, model=model, version=version) as done:
                yield done
        finally:
            self.known.forget()


@contextmanager
def _undone_by(undo: Callable[[], None]) -> Iterator[None]:
    """Undo what was begun when the block fails."""
    try:
        yield
    except Exception:
        with suppress(TorchServeError):
            undo()
        raise
