"""Operations snapshots of a service that was never there: steady, busy, failing, started again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

BOUNDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30)
START = 1_767_225_600.0  # seconds since the epoch


class Story:
    """Counters that go up; `tell` answers what /api/operations would after `seconds` more."""

    def __init__(self, *, gpus: int = 0, batches: bool = True, versions: Sequence[str] = ("1.1",)):
        self.gpus, self.batches, self.versions = gpus, batches, versions
        self.time = START
        self.started = START - 7380
        self.counts = {200: 0.0, 400: 0.0, 502: 0.0}
        self.buckets = [0.0] * (len(BOUNDS) + 1)
        self.pictures = 0.0
        self.batch_count = 0.0

    def tell(self, seconds: float) -> dict[str, Any]:
        """Go on by `seconds` and answer."""
        self.time += seconds
        minutes = (self.time - START) / 60
        load = max(0.0, 4 + 3 * math.sin(minutes) + 6 * (3 < minutes % 6 < 3.7))
        self.counts[200] += load * seconds
        self.counts[400] += 0.1 * load * seconds
        self.counts[502] += 0.4 * seconds if 5 < minutes % 7 < 5.4 else 0
        middle = 0.12 + 0.06 * load / 4
        for index, bound in enumerate([*BOUNDS, math.inf]):
            share = 1 / (1 + (middle / bound) ** 4) if bound < math.inf else 1.0
            self.buckets[index] += share * load * seconds
        self.pictures += load * seconds
        self.batch_count += load * seconds / (1 + load / 4)
        return self._snapshot(load)

    def _snapshot(self, load: float) -> dict[str, Any]:
        requests = [
            {"route": "/api/captions", "method": "POST", "status": status, "count": int(count)}
            for status, count in self.counts.items()
        ]
        latency = {
            "route": "/api/captions",
            "count": int(self.buckets[-1]),
            "sum_seconds": 0.2 * self.buckets[-1],
            "buckets": [
                {"le": bound, "count": int(count)}
                for bound, count in zip([*BOUNDS, None], self.buckets, strict=True)
            ],
        }
        return {
            "time": self.time,
            "web": {
                "started": self.started,
                "memory_bytes": 78_643_200,
                "requests": requests,
                "latency": [latency],
            },
            "torchserve": {
                "requests": {"2xx": int(3 * self.pictures), "4xx": 3, "5xx": 0},
                "models": [
                    {
                        "model": "captioner",
                        "version": "1.1",
                        "requests": self.pictures,
                        "inference_seconds": 0.11 * self.pictures,
                        "queue_seconds": 0.03 * self.pictures,
                        "batches": self.batch_count if self.batches else None,
                        "pictures": self.pictures if self.batches else None,
                    }
                ],
            },
            "versions": [self._version(one, load) for one in self.versions],
            "problems": [],
        }

    def _version(self, name: str, load: float) -> dict[str, Any]:
        first = name == self.versions[0]
        return {
            "model": "captioner",
            "version": name,
            "default": first,
            "workers": {"READY": 1} if first else {"READY": 1, "UNLOADING": 1},
            "min_workers": 1,
            "max_workers": 1,
            "memory_bytes": int(4.1e8 + 1e6 * load) if first else 380_000_000,
            "started": self.started + 5,
            "gpus": [
                {"id": n, "utilisation": min(1.0, load / 14 + n / 20), "memory_bytes": 3 * 2**30}
                for n in range(self.gpus if first else 0)
            ],
            "queue": {"remaining": 64 - int(load / 2), "pending": int(load / 2) if first else 0},
            "batch_size": 8,
            "max_batch_delay_ms": 10,
        }
