"""A share of the captions for another version, and how the two compare."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any, Literal

from webui.telemetry.metrics import Metrics
from webui.torchserve.errors import TorchServeError
from webui.torchserve.management import Known
from webui.web.problem import ServiceError
from webui.web.state import State

TIMES = 1000  # of the latest captions of a version, for its percentiles
FAILED = 500  # from this code on an error is the service's, below it the picture's

Winner = Literal["left", "right", "tie"]


@dataclass(frozen=True)
class Setting:
    """Which version gets which share, 0..1, of the captions that request none."""

    version: str
    share: float


class Canary:
    """The setting, and what was counted since the canary began, or since the page's start."""

    def __init__(self, state: State, known: Known, metrics: Metrics) -> None:
        self._state = state
        self._known = known
        self._metrics = metrics
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        """Count from here on: the metrics only ever grow, so what they are now is taken off."""
        self.since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        with self._lock:
            self._times: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=TIMES))
            self._before = {
                (sample.name, *sample.labels.values()): sample.value
                for counter in (self._metrics.captions, self._metrics.votes)
                for metric in counter.collect()
                for sample in metric.samples
            }

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
        with self._lock:
            self._times[version].append(seconds)

    def count_error(self, version: str | None, code: int) -> None:
        """Count an error of a version (None: the default), with the code that was answered."""
        outcome = "failed" if code >= FAILED else "refused"
        self._metrics.captions.labels(self._label(version), outcome).inc()

    def vote(self, left: str, right: str, winner: Winner) -> None:
        """Count a vote on two versions of the model. Raises TorchServeError, 404 for others."""
        names = {one.version for one in self._known.versions()}
        for version in (left, right):
            if version not in names:
                raise ServiceError(
                    f"Expected two versions of {self._known.model} ({', '.join(sorted(names))}), "
                    f"got {version[:50]!r}. Load the page again.",
                    code=404,
                    type="NoSuchVersion",
                )
        for version, side in ((left, "left"), (right, "right")):
            outcome = "tied" if winner == "tie" else "won" if winner == side else "lost"
            self._metrics.votes.labels(version, outcome).inc()

    def compared(self) -> list[dict[str, Any]]:
        """What was counted for the default and the canary, the default first."""
        try:
            versions = self._known.versions()
        except TorchServeError:
            versions = self._known.last()
        wanted = [one.version for one in versions if one.default]
        if self.setting and self.setting.version not in wanted:
            wanted.append(self.setting.version)
        return [self._row(version) for version in wanted]

    def _row(self, version: str) -> dict[str, Any]:
        with self._lock:
            times = list(self._times.get(version, ()))
        # quantiles() wants two values at least; of one, all percentiles are that one.
        cuts = quantiles(times * 2 if len(times) == 1 else times, n=20) if times else None
        count = self._count
        return {
            "version": version,
            "captions": count("captions", version, "captioned"),
            "errors": count("captions", version, "failed"),
            "p50_ms": round(cuts[9] * 1000) if cuts else None,
            "p95_ms": round(cuts[18] * 1000) if cuts else None,
            "votes": {name: count("votes", version, name) for name in ("won", "lost", "tied")},
        }

    def _count(self, counter: str, version: str, outcome: str) -> int:
        name, labels = f"captionize_{counter}_total", {"version": version, "outcome": outcome}
        value = self._metrics.registry.get_sample_value(name, labels) or 0
        return int(value - self._before.get((name, version, outcome), 0))

    def _label(self, version: str | None) -> str:
        """The version as a label: made-up versions must not become series of their own."""
        for one in self._known.last():
            if one.version == version or version is None and one.default:
                return one.version
        return "unknown"
