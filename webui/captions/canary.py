"""A share of the captions for another version, and how the two compare."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any, Literal

from webui.administrator.audit import now
from webui.telemetry.metrics import Metrics
from webui.torchserve.errors import TorchServeError
from webui.torchserve.management import Known
from webui.web.problem import ServiceError
from webui.web.shared import Memory, Shared, StoreAway
from webui.web.state import State

TIMES = 1000  # of the latest captions of a version, for its percentiles
COUNTS, SINCE = "canary", "canary since"  # in the shared store
FAILED = 500  # from this code on an error is the service's, below it the picture's

Winner = Literal["left", "right", "tie"]


@dataclass(frozen=True)
class Setting:
    """Which version gets which share, 0..1, of the captions that request none."""

    version: str
    share: float


class Canary:
    """The setting, and what all pages counted since the canary began, or since the first start.

    While the shared store is away captions go on, and are not counted here.
    """

    def __init__(
        self, state: State, known: Known, metrics: Metrics, shared: Shared | None = None
    ) -> None:
        self._state = state
        self._known = known
        self._metrics = metrics
        self._shared = shared or Memory()
        with suppress(StoreAway):
            self._shared.put(SINCE, now(), new=True)

    @property
    def since(self) -> str:
        """From when on is counted: UTC, ISO 8601. Raises StoreAway."""
        self._shared.put(SINCE, now(), new=True)  # the store may have lost it
        return self._shared.texts(SINCE)[0] or now()

    def _begin(self) -> None:
        """Count from here on. Raises StoreAway."""
        versions = {name.split()[1] for name in self._shared.add(COUNTS, {})}
        self._shared.drop(COUNTS, *(f"{COUNTS} times {one}" for one in versions))
        self._shared.put(SINCE, now())

    @property
    def setting(self) -> Setting | None:
        """What is set, or None while the canary is off."""
        stored = self._state.get().canary
        return Setting(**stored) if stored else None

    def set(self, setting: Setting | None) -> None:
        """Turn it on, or off with None; another version's figures begin anew."""
        before = self.setting
        with self._state.change() as wanted:
            wanted.canary = asdict(setting) if setting else None
        if setting and (before is None or before.version != setting.version):
            self._begin()

    def choose(self, draw: float) -> str | None:
        """The version for a caption whose session drew `draw`, 0..1; None for the default.

        A canary that is not ready, or that TorchServe does not have any more, gets none.
        """
        setting = self.setting
        if setting is None or draw >= setting.share:
            return None
        try:
            versions = self._known.versions()
        except TorchServeError:
            return None
        return next((v.version for v in versions if v.version == setting.version and v.ready), None)

    def count(self, version: str, seconds: float) -> None:
        """Count a caption that a version made, and the time it took."""
        self._metrics.captions.labels(version, "captioned").inc()
        self._metrics.caption_seconds.labels(version).observe(seconds)
        with suppress(StoreAway):
            self._shared.add(COUNTS, {f"captions {version} captioned": 1})
            self._shared.push(f"{COUNTS} times {version}", f"{seconds:.6f}", TIMES)

    def count_error(self, version: str | None, code: int) -> None:
        """Count an error of a version (None: the default), with the code that was answered."""
        outcome, label = "failed" if code >= FAILED else "refused", self._label(version)
        self._metrics.captions.labels(label, outcome).inc()
        with suppress(StoreAway):
            self._shared.add(COUNTS, {f"captions {label} {outcome}": 1})

    def vote(self, left: str, right: str, winner: Winner) -> None:
        """Count a vote on two versions of the model.

        Raises TorchServeError, StoreAway, and ServiceError, 404, for other versions.
        """
        names = {one.version for one in self._known.versions()}
        for version in (left, right):
            if version not in names:
                raise ServiceError(
                    f"Expected two versions of {self._known.model} ({', '.join(sorted(names))}), "
                    f"got {version[:50]!r}. Load the page again.",
                    code=404,
                    type="NoSuchVersion",
                )
        outcomes = {
            version: "tied" if winner == "tie" else "won" if winner == side else "lost"
            for version, side in ((left, "left"), (right, "right"))
        }
        self._shared.add(COUNTS, {f"votes {one} {outcomes[one]}": 1 for one in outcomes})
        for version, outcome in outcomes.items():
            self._metrics.votes.labels(version, outcome).inc()

    def compared(self) -> list[dict[str, Any]]:
        """What was counted for the default and the canary, the default first. Raises StoreAway."""
        try:
            versions = self._known.versions()
        except TorchServeError:
            versions = self._known.last()
        wanted = [one.version for one in versions if one.default]
        if self.setting and self.setting.version not in wanted:
            wanted.append(self.setting.version)
        return [self._row(version) for version in wanted]

    def _row(self, version: str) -> dict[str, Any]:
        times = [float(one) for one in self._shared.listed(f"{COUNTS} times {version}")]
        counted = self._shared.add(COUNTS, {})
        # quantiles() wants two values at least; of one, all percentiles are that one.
        cuts = quantiles(times * 2 if len(times) == 1 else times, n=20) if times else None
        return {
            "version": version,
            "captions": counted.get(f"captions {version} captioned", 0),
            "errors": counted.get(f"captions {version} failed", 0),
            "p50_ms": round(cuts[9] * 1000) if cuts else None,
            "p95_ms": round(cuts[18] * 1000) if cuts else None,
            "votes": {
                name: counted.get(f"votes {version} {name}", 0) for name in ("won", "lost", "tied")
            },
        }

    def _label(self, version: str | None) -> str:
        """The version as a label: made-up versions must not become series of their own."""
        for one in self._known.last():
            if one.version == version or version is None and one.default:
                return one.version
        return "unknown"
