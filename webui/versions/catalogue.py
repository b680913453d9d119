"""What there is: models, their versions with cards, previous defaults, and archives."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from webui.torchserve.errors import TorchServeError
from webui.torchserve.management import Management, Version
from webui.versions.archives import Store, shown
from webui.web.state import Note, State


@dataclass
class Catalogue:
    """Reads TorchServe and the model store, and describes them; changes neither.

    The dictionaries are those of the API's specification. Every method raises TorchServeError.
    """

    management: Management
    store: Store
    state: State

    # By model, version and archive; only workers' cards: the store remembers its own.
    _cards: dict[tuple[str, str, str], Any] = field(default_factory=dict, init=False)

    def models(self) -> list[dict[str, Any]]:
        """Every model with its versions."""
        found = []
        for name in self.management.models():
            with contextlib.suppress(TorchServeError):  # unregistered meanwhile
                found.append(self.model(name))
        return found

    def model(self, name: str) -> dict[str, Any]:
        """One model with its versions."""
        versions = self.management.versions(name)
        return {
            "name": name,
            "default": next(one.version for one in versions if one.default),
            "previous_default": self.previous_default(name, versions),
            "versions": [self._described(name, one) for one in versions],
        }

    def version(self, model: str, version: str) -> dict[str, Any]:
        """One version."""
        return self._described(model, self.management.version(model, version))

    def card(self, model: str, version: Version) -> dict[str, Any] | None:
        """What a version says of itself: its archive's card, or a worker's without the archive."""
        archive = self.store.get(version.archive)
        return archive.card if archive else self._worker_card(model, version)

    def archives(self) -> list[dict[str, Any]]:
        """What lies in the model store, and under which versions it is registered."""
        registered = defaultdict(list)
        for model in self.models():
            for one in model["versions"]:
                registered[one["archive"]].append(f"{model['name']} {one['version']}")
        return [{**one.to_json(), "registered": registered[one.name]} for one in self.store.all()]

    def use_of(self, archive: str) -> str | None:
        """Why an archive of this name is needed, in a sentence; None where it is not."""
        state = self.state.get()
        served = {
            f"{model} {one.version}": one.archive
            for model in self.management.models()
            for one in self.management.versions(model)
        }
        wanted = {
            f"{model} {version}": one.archive
            for model, versions in state.models.items()
            for version, one in versions.versions.items()
        }
        for subject, name in {**wanted, **served}.items():
            if name == archive:
                return f"{archive} is registered as {subject}. Unregister that first."
        if archive in state.loaded.values():
            return (
                f"{archive} is named by load_models in config.properties, and without it nothing "
                "would start. Remove it there and start Captionize again."
            )
        return None

    def previous_default(self, model: str, versions: list[Version]) -> str | None:
        """The default before this one, the latest of those that are still among the `versions`."""
        wanted = self.state.get().models.get(model)
        there = {one.version for one in versions if not one.default}
        return next((v for v in reversed(wanted.previous if wanted else []) if v in there), None)

    def _described(self, model: str, version: Version) -> dict[str, Any]:
        """A version with its card."""
        archive = self.store.get(version.archive)
        behind = archive is not None and archive.behind
        note = self.state.get().notes.get(model, {}).get(version.version, Note())
        card = self.card(model, version)
        return {**version.to_json(), "card": card, "behind": behind, **asdict(note)}

    def _worker_card(self, model: str, version: Version) -> dict[str, Any] | None:
        key = (model, version.version, version.archive)
        if key not in self._cards and version.ready:
            try:
                self._cards[key] = shown(self.management.describe(model, version.version))
            except TorchServeError:
                return None  # fetched again the next time
        return self._cards.get(key)
