"""What the management API tells of a model's versions, as a snapshot shows it."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from typing import Any

# "gpuId::0 utilization.gpu [%]::7 % utilization.memory [%]::1 % memory.used [MiB]::765 MiB"
GPU = re.compile(
    r"gpuId::(?P<id>\d+)\b.*?utilization\.gpu \[%\]::(?P<utilisation>\d+) %"
    r".*?memory\.used \[MiB\]::(?P<memory>\d+) MiB"
)
MEBIBYTE = 1024 * 1024


def versions(described: Any, default: str | None) -> list[dict[str, Any]]:
    """The versions of one model, out of GET /models/NAME/all; `default` is the default's number.

    Raises KeyError, TypeError or ValueError when it is of another shape.
    """
    return [_version(one, one["modelVersion"] == default) for one in described]


def _version(described: dict[str, Any], default: bool) -> dict[str, Any]:
    workers = described["workers"]
    queue = described.get("jobQueueStatus", {})
    return {
        "model": str(described["modelName"]),
        "version": str(described["modelVersion"]),
        "default": default,
        "workers": dict(Counter(str(worker["status"]) for worker in workers)),
        "min_workers": int(described["minWorkers"]),
        "max_workers": int(described["maxWorkers"]),
        "memory_bytes": sum(int(worker.get("memoryUsage") or 0) for worker in workers) or None,
        "started": min((_seconds(worker["startTime"]) for worker in workers), default=None),
        "gpus": gpus(workers),
        "queue": {
            "remaining": int(queue.get("remainingCapacity", 0)),
            "pending": int(queue.get("pendingRequests", 0)),
        },
        "batch_size": int(described["batchSize"]),
        "max_batch_delay_ms": int(described["maxBatchDelay"]),
    }


def gpus(workers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The GPUs that these workers compute on, each once; none on a CPU."""
    found: dict[int, dict[str, Any]] = {}
    for worker in workers:
        if match := GPU.search(str(worker.get("gpuUsage", ""))):
            number = int(match["id"])
            found[number] = {
                "id": number,
                "utilisation": int(match["utilisation"]) / 100,
                "memory_bytes": int(match["memory"]) * MEBIBYTE,
            }
    return [found[number] for number in sorted(found)]


def _seconds(text: str) -> float:
    """Java's 2026-01-31T12:00:00.123Z as seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()
