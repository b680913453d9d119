"""What the administrator changes: each step with its check, its undoing and its audit entries.

What was changed is wanted from then on, and brought back wherever it is lost: see `restoring`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from webui.administrator.audit import Actor, Audit, Refused
from webui.captions.canary import Canary, Setting
from webui.torchserve.errors import TorchServeError
from webui.torchserve.management import Known, Management
from webui.versions.catalogue import Catalogue
from webui.versions.jobs import Job, Jobs, Progress
from webui.versions.workers import Workers, count
from webui.web.state import Note, State, WantedModel, WantedVersion

KEPT = 20  # earlier defaults of a model


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
    state: State

    # Registrations one after another: TorchServe can lose one of two first ones of a model.
    registering: threading.Lock = field(default_factory=threading.Lock, init=False)
    # Wanted versions, by model and version, that could not be brought back, and why.
    unrestored: dict[tuple[str, str], str] = field(default_factory=dict, init=False)

    # --- At once ---

    def set_default(self, actor: Actor, model: str, version: str) -> None:
        """Make a version the default; it must be able to caption."""
        with self.recorded(actor, "default", model, version) as done:
            before = self._default_before(model, version)
            with self._wanting(model, before) as wanted:
                self.management.set_default(model, version)
                if wanted.default != version:
                    others = [one for one in wanted.previous if one != version]
                    wanted.previous = [*others, wanted.default][-KEPT:]
                wanted.default = version
            also = self._end_canary(model, version)
            done(f"{model} {version} is the default; it was {before}.{also}")

    def roll_back(self, actor: Actor, model: str) -> None:
        """Make the previous default the default again; the one that is left is not offered next."""
        with self.recorded(actor, "rollback", model, None) as done:
            versions = self.management.versions(model)
            previous = self.catalogue.previous_default(model, versions)
            if previous is None:
                raise Refused(
                    f"There is no previous default of {model} to go back to: none was changed, or "
                    "it is no longer registered. Choose a version and make it the default.",
                    type="NoPreviousDefault",
                )
            before = self._default_before(model, previous)
            with self._wanting(model, before) as wanted:
                self.management.set_default(model, previous)
                del wanted.previous[wanted.previous.index(previous) :]
                wanted.default = previous
            also = self._end_canary(model, previous)
            done(f"{model} {previous} is the default; it was {before}.{also}")

    def _default_before(self, model: str, version: str) -> str:
        """The default, which a version that can caption may replace."""
        if not self.management.version(model, version).ready:
            raise Refused(
                f"No worker of {model} {version} is ready, so it could not caption. Give it "
                "workers and wait until one is ready.",
                type="NotReady",
            )
        return self.management.default(model).version

    def _end_canary(self, model: str, version: str) -> str:
        """Turn the canary off if this version is the canary; a sentence that says so, else none."""
        setting = self.canary.setting
        if setting is None or (model, setting.version) != (self.known.model, version):
            return ""
        self.canary.set(None)
        return " The canary is off."

    @contextmanager
    def _wanting(self, model: str, default: str) -> Iterator[WantedModel]:
        """Change what is wanted of a model; of a new one, this is the default.

        TorchServe is changed within the block where that is quick: not if this cannot be kept.
        """
        with self.state.change() as wanted:
            yield wanted.models.setdefault(model, WantedModel(default))

    def unregister(self, actor: Actor, model: str, version: str) -> None:
        """Unregister a version that is neither the default nor being changed."""
        with self.recorded(actor, "unregister", model, version) as done:
            self._check_idle(f"{model} {version}")
            if self._forget_lost(model, version):
                done(f"{model} {version} is not wanted any more.{self._end_canary(model, version)}")
                return
            versions = self.management.versions(model)
            if model == self.known.model and [one.version for one in versions] == [version]:
                raise Refused(
                    f"{model} {version} is the only version, and without it there are no captions. "
                    "Register another one first.",
                    code=403,
                    type="DefaultVersion",
                )
            with self.registering:
                self._forget(model, version, lambda: self.management.unregister(model, version))
            done(f"{model} {version} is unregistered.{self._end_canary(model, version)}")

    def _check_idle(self, subject: str) -> None:
        if self.jobs.busy(subject):
            raise Refused(f"A job for {subject} is running. Wait for its end.", type="JobUnderWay")

    def _forget_lost(self, model: str, version: str) -> bool:
        """Forget a version that is wanted and that TorchServe lacks; whether it was such a one."""
        wanted = self.state.get().models.get(model)
        if wanted is None or version not in wanted.versions:
            return False
        there = self.management.versions(model) if model in self.management.models() else []
        if any(one.version == version for one in there):
            return False
        self._forget(model, version)
        return True

    def _forget(
        self, model: str, version: str, unregister: Callable[[], None] = lambda: None
    ) -> None:
        """Want a version no more, once it is unregistered."""
        with self.state.change() as wanted:
            unregister()
            if one := wanted.models.get(model):
                one.versions.pop(version, None)
                one.previous = [before for before in one.previous if before != version]
                if not one.versions:
                    del wanted.models[model]
                elif one.default == version:
                    one.default = self.management.default(model).version

    def annotate(self, actor: Actor, model: str, version: str, note: Note) -> None:
        """Keep a note and tags for a version, in place of those that it has."""
        with self.recorded(actor, "note", model, version) as done:
            self.management.version(model, version)  # which must exist
            with self.state.change() as wanted:
                wanted.notes.setdefault(model, {})[version] = note
            done(f"The note and the tags of {model} {version} are changed.")

    def delete_archive(self, actor: Actor, name: str) -> None:
        """Remove an archive from the model store, unless something would miss it."""
        found = self.catalogue.store.get(name)
        model, version = (found.model, found.version) if found else (None, None)
        with self.recorded(actor, "delete", model, version) as done, self.registering:
            if reason := self.catalogue.use_of(name):
                raise Refused(reason, type="ArchiveInUse")
            self._check_idle(f"{model} {version}")
            self.catalogue.store.delete(name)
            done(f"{name} is deleted from the model store.")

    def set_canary(self, actor: Actor, setting: Setting | None) -> None:
        """Turn the canary on, for a version that is not the default, or off."""
        model, version = self.known.model, setting.version if setting else None
        with self.recorded(actor, "canary", model, version) as done:
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
        with self._refusals(actor, "register", None, archive):
            found = self.catalogue.store.find(archive)
        model, version = (found.model, found.version) if found else (None, None)

        def work(progress: Progress) -> str:
            with self.recorded(actor, "register", model, version or archive) as done:
                progress(f"Registering {archive}.")
                as_wanted = WantedVersion(archive, workers, batch_size, max_batch_delay)
                name, number = self.add(as_wanted, progress)
                with (
                    _undone_by(lambda: self.management.unregister(name, number)),
                    self._wanting(name, self.management.default(name).version) as wanted,
                ):
                    wanted.versions[number] = as_wanted
                return done(f"{name} {number} is registered with {count(workers)}.")

        subject = f"{model} {version}" if found else archive
        return self.jobs.start("register", subject, work, model=model, version=version)

    def scale(self, actor: Actor, model: str, version: str, workers: int) -> Job:
        """Change the number of workers; without success it goes back to what it was."""
        now = self.management.version(model, version)
        with self._refusals(actor, "scale", model, version):
            if workers == 0 and now.default and model == self.known.model:
                raise Refused(
                    f"{model} {version} is the default, and without workers there are no captions. "
                    "Make another version the default first.",
                    type="DefaultVersion",
                )

        def work(progress: Progress) -> str:
            with self.recorded(actor, "scale", model, version) as done:
                with _undone_by(lambda: self.management.scale(model, version, now.max_workers)):
                    self.workers.scale(model, version, workers, progress)
                    with self._wanting(model, self.management.default(model).version) as wanted:
                        one = wanted.versions.setdefault(version, WantedVersion(now.archive))
                        one.workers = workers
                return done(f"{model} {version} has {count(workers)}.")

        return self.jobs.start("scale", f"{model} {version}", work, model=model, version=version)

    def add(self, wanted: WantedVersion, progress: Progress) -> tuple[str, str]:
        """Register an archive, start its workers, and undo it when they fail; what it is."""
        with self.registering:
            model, version = self.management.register(
                wanted.archive,
                batch_size=wanted.batch_size,
                max_batch_delay=wanted.max_batch_delay,
            )
        self.known.forget()
        with _undone_by(lambda: self.management.unregister(model, version)):
            self.workers.scale(model, version, wanted.workers or 0, progress)
        return model, version

    @contextmanager
    def _refusals(
        self, actor: Actor, action: str, model: str | None, version: str | None
    ) -> Iterator[None]:
        """Record that something was refused before it began."""
        try:
            yield
        except Refused as error:
            self.audit.record(actor, action, "refused", error.message, model=model, version=version)
            raise

    @contextmanager
    def recorded(
        self, actor: Actor, action: str, model: str | None, version: str | None
    ) -> Iterator[Callable[[str], str]]:
        """Record the block and its outcome, and have the versions fetched again."""
        try:
            with self.audit.recorded(actor, action, model=model, version=version) as done:
                yield done
            self.unrestored.pop((model or "", version or ""), None)
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
