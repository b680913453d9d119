"""Brings what is wanted back, after TorchServe, the page or the machine was started again.

TorchServe itself remembers nothing: every start of it serves what load_models names. That is the
first state of what is wanted, and what is named later is added. All else comes from the state:
this registers, scales, makes default and unregisters until TorchServe serves it. Of several pages
each does so with its own TorchServe, whenever another page changed something.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from webui.administrator.audit import SERVICE
from webui.torchserve.errors import Away, NotReady, TooSlow, TorchServeError
from webui.torchserve.management import Version
from webui.torchserve.tokens import KeysUnreadable, read_start
from webui.versions.deployment import Deployment
from webui.versions.jobs import Progress, Work
from webui.versions.lost import Lost
from webui.versions.workers import count
from webui.web.names import is_name
from webui.web.problem import ServiceError
from webui.web.shared import StoreAway
from webui.web.state import Wanted, WantedModel, WantedVersion

log = logging.getLogger(__name__)

EVERY_S = 1.0  # a look at TorchServe's key file, which every start writes anew
LOST_S = 10.0  # a look for versions that are gone although TorchServe was not started again

STARTS = 100  # of TorchServes, that are remembered

Found = dict[str, list[Version]]  # by model, what TorchServe serves


class Restoring:
    """Keeps TorchServe at what is wanted; `start` has a thread do so.

    Args:
        workers: of a version for which nobody chose a number and that load_models does not name.
    """

    def __init__(self, deployment: Deployment, lost: Lost, key_file: Path, workers: int) -> None:
        self._deployment, self._lost_versions = deployment, lost
        self._key_file = key_file
        self._workers = workers
        self._start = ""  # of TorchServe, to which all was brought back last
        self._seen = Wanted()  # what was wanted then
        self._interrupted = False  # and not all of it
        self._not_before = 0.0  # monotonic: when to look for what is lost, or to try again

    def start(self) -> None:
        """Look every EVERY_S from now on, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="restoring", daemon=True).start()

    def check(self) -> None:
        """Bring everything back if TorchServe was started again, or if a version is gone.

        So too if several pages share what is wanted, and it is not what it was.

        To be called as often as one likes. Raises TorchServeError while TorchServe does not answer:
        then the next call tries again.
        """
        try:
            start = read_start(self._key_file)
        except KeysUnreadable:
            return
        state = self._deployment.state
        wanted = state.get()
        # Not by what it says: that may be as before, after a change here and its undoing elsewhere.
        news = state.several and wanted is not self._seen
        if start == self._start and not news and not self._is_due():
            return
        found = self._found()
        if start != self._start or wanted.models != self._seen.models:
            self._deployment.unrestored.clear()
        self._start, self._seen, self._not_before = start, wanted, time.monotonic() + LOST_S
        self._interrupted = True  # until it has come to its end
        self._take_in(start, found)
        if self._restore():
            self._unregister_others()
            self._end_absent_canary()
            self._interrupted = False

    def _run(self) -> None:
        while True:
            try:
                self.check()
            except (TorchServeError, StoreAway):
                pass
            except Exception:  # a look that goes wrong must not be the last
                log.exception("What is wanted could not be compared with what TorchServe serves")
            self._lost_versions.tell()
            time.sleep(EVERY_S)

    def _found(self) -> Found:
        management = self._deployment.management
        return {model: management.versions(model) for model in management.models()}

    def _is_due(self) -> bool:
        """Whether to try again what was interrupted, or to bring back a version that is gone."""
        if time.monotonic() < self._not_before:
            return False
        self._not_before = time.monotonic() + LOST_S
        return self._interrupted or self._lost()

    def _lost(self) -> bool:
        """Whether a wanted version is gone; those that cannot be brought back are not counted."""
        with self._deployment.registering:  # so that nothing is being unregistered
            found = self._found()
            models = self._deployment.state.get().models
        return any(
            (model, version) not in self._deployment.unrestored
            and version not in [one.version for one in found.get(model, [])]
            for model, wanted in models.items()
            for version in wanted.versions
        )

    # --- What load_models names ---

    def _take_in(self, start: str, found: Found) -> None:
        """At a new start of TorchServe: want what load_models names and did not name before."""
        with self._deployment.state.change() as wanted:
            starts = wanted.torchserve.split()
            if start in starts:
                return
            first = not starts
            named = {
                f"{model} {one.version}": one.archive
                for model, versions in found.items()
                for one in versions
            }
            for model, versions in found.items():
                for one in versions:
                    if f"{model} {one.version}" not in wanted.loaded:
                        self._add(wanted, model, one, versions, silent=first)
            wanted.loaded, wanted.torchserve = named, " ".join([*starts, start][-STARTS:])

    def _add(
        self, wanted: Wanted, model: str, one: Version, versions: list[Version], *, silent: bool
    ) -> None:
        if not (is_name(model) and is_name(one.version)):
            return  # nothing that could be asked of TorchServe by an address
        default = next(other.version for other in versions if other.default)
        kept = wanted.models.setdefault(model, WantedModel(default))
        if one.version in kept.versions:
            return
        # An archive that was replaced by one of another version, as an upgrade does.
        replaced = [old for old, as_ in kept.versions.items() if as_.archive == one.archive]
        for old in replaced:
            del kept.versions[old]
            kept.default = one.version if kept.default == old else kept.default
        kept.versions[one.version] = WantedVersion(one.archive)
        if not silent:
            instead = f", instead of {', '.join(replaced)}" if replaced else ""
            message = (
                f"{one.archive} is named by load_models: {model} {one.version} is served{instead}."
            )
            self._deployment.audit.record(
                SERVICE, "register", "done", message, model=model, version=one.version
            )

    # --- What was changed on the page ---

    def _restore(self) -> bool:
        """Bring the versions back, of each model the default first; False when interrupted."""
        whole = True
        for model, wanted in self._deployment.state.get().models.items():
            for version in sorted(wanted.versions, key=lambda one: one != wanted.default):
                whole = self._bring_back(model, version) and whole
                if version == wanted.default:
                    whole = self._set_default(model, version) and whole
        return whole

    def _wanted(self, model: str, version: str) -> WantedVersion | None:
        """A version that is to be brought back: not unregistered meanwhile, nor tried in vain."""
        wanted = self._deployment.state.get().models.get(model)
        tried = (model, version) in self._deployment.unrestored
        return wanted.versions.get(version) if wanted and not tried else None

    def _bring_back(self, model: str, version: str) -> bool:
        """Register a version if it is gone, and give it its workers; False when interrupted."""
        if (wanted := self._wanted(model, version)) is None:
            return True
        there = {one.version: one for one in self._found().get(model, [])}
        if version not in there:
            workers = self._workers if wanted.workers is None else wanted.workers
            again = replace(wanted, workers=workers)
            return self._do(
                model, version, lambda progress: self._register(again, model, version, progress)
            )
        if wanted.workers not in (None, there[version].max_workers):
            workers = wanted.workers or 0
            return self._do(
                model, version, lambda progress: self._scale(model, version, workers, progress)
            )
        return True

    def _register(self, wanted: WantedVersion, model: str, version: str, progress: Progress) -> str:
        here = self._deployment
        archive = here.catalogue.store.find(wanted.archive)
        if archive and (archive.model, archive.version) != (model, version):
            raise ServiceError(
                f"{wanted.archive} holds {archive.model} {archive.version} now.", code=409
            )
        progress(f"Registering {wanted.archive}.")
        here.add(wanted, progress)
        return f"{model} {version} is registered again with {count(wanted.workers or 0)}."

    def _scale(self, model: str, version: str, workers: int, progress: Progress) -> str:
        self._deployment.workers.scale(model, version, workers, progress)
        return f"{model} {version} has {count(workers)} again."

    def _set_default(self, model: str, version: str) -> bool:
        """Make a version the default once its workers are ready; False when interrupted."""
        here = self._deployment
        one = next((one for one in self._found().get(model, []) if one.version == version), None)
        if one is None or one.default or self._wanted(model, version) is None:
            return True

        def work(progress: Progress) -> str:
            here.workers.scale(model, version, one.max_workers, progress)
            here.management.set_default(model, version)
            return f"{model} {version} is the default again."

        return self._do(model, version, work)

    def _unregister_others(self) -> None:
        """Unregister what load_models named and the administrator has unregistered since.

        Where several pages share what is wanted, that is all that TorchServe may serve.
        """
        here = self._deployment
        state = here.state.get()
        for model, versions in self._found().items():
            wanted = state.models[model].versions if model in state.models else {}
            for one in sorted(versions, key=lambda one: one.default):
                known = here.state.several or f"{model} {one.version}" in state.loaded
                if one.version in wanted or not known or (one.default and wanted):
                    continue

                def work(progress: Progress, model: str = model, version: str = one.version) -> str:
                    here.management.unregister(model, version)
                    return f"{model} {version} is unregistered again."

                self._do(model, one.version, work)

    def _do(self, model: str, version: str, work: Work) -> bool:
        """Run a step as a job with its audit entries; False when it is to be tried again.

        That is when TorchServe did not answer, or when the administrator is at this version.
        """
        ended = False

        def recorded(progress: Progress) -> str:
            nonlocal ended
            with self._deployment.recorded(SERVICE, "restore", model, version) as done:
                try:
                    message = work(progress)
                except (Away, NotReady, TooSlow):
                    raise
                except ServiceError as error:
                    self._deployment.unrestored[model, version] = error.message
                    ended = True
                    raise
                ended = True
                return done(message)

        with suppress(ServiceError):
            self._deployment.jobs.restore(model, version, recorded)
        return ended

    def _end_absent_canary(self) -> None:
        """Turn the canary off when its version could not be brought back.

        Not where other pages may have it: this one captions with the default.
        """
        here = self._deployment
        setting = here.canary.setting
        if setting is None or here.state.several:
            return
        if setting.version not in [one.version for one in self._found().get(here.known.model, [])]:
            here.set_canary(SERVICE, None)
