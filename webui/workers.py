"""A version and its workers, as an operations snapshot shows them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from webui.management import Version

# "gpuId::0 utilization.gpu [%]::7 % utilization.memory [%]::1 % memory.used [MiB]::765 MiB"
GPU = re.compile(
    r"gpuId::(?P<id>\d+)\b.*?utilization\.gpu \[%\]::(?P<utilisation>\d+) %"
    r".*?memory\.used \[MiB\]::(?P<memory>\d+) MiB"
)
MEBIBYTE = 1024 * 1024


def snapshot(model: str, version: Version) -> dict[str, Any]:
    """The figures of one version of a model; times are seconds since the epoch."""
    workers = version.workers
    return {
        "model": model,
        "version": version.version,
        "default": version.default,
        "workers": dict(Counter(worker.state for worker in workers)),
        "min_workers": version.min_workers,
        "max_workers": version.max_workers,
        "memory_bytes": sum(worker.memory_bytes or 0 for worker in workers) or None,
        "started": min(
            (datetime.fromisoformat(worker.started).timestamp() for worker in workers), default=None
        ),
        "gpus": gpus(worker.gpu_usage for worker in workers),
        "queue": {"remaining": version.queue_remaining, "pending": version.queue_pending},
        "batch_size": version.batch_size,
        "max_batch_delay_ms": version.max_batch_delay_ms,
    }


def gpus(usages: Iterable[str]) -> list[dict[str, Any]]:
    """The GPUs that workers compute on, each once, out of what is told of each worker's."""
    found: dict[int, dict[str, Any]] = {}
    for usage in usages:
        if match := GPU.search(usage):
            number = int(match["id"])
            found[number] = {
                "id": number,
                "utilisation": int(match["utilisation"]) / 100,
                "memory_bytes": int(match["memory"]) * MEBIBYTE,
            }
    return [found[number] for number in sorted(found)]
