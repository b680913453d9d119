"""Prometheus's text format, of either service, as the numbers of an operations snapshot.

TorchServe's counters of latency are sums of microseconds since its start, so a mean over some
minutes is the difference of two snapshots. It calls the version `default` when a request named
none. Of its gauges none is taken: each holds the last request's value only.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from webui.torchserve.management import Version

MICROSECOND = 1e-6

Labels = frozenset[tuple[str, str]]
Samples = dict[str, dict[Labels, float]]

# TorchServe's counter by model and version -> the member of a snapshot, and its unit in it
BY_VERSION = {
    "ts_inference_requests": ("requests", 1.0),
    "ts_inference_latency_microseconds": ("inference_seconds", MICROSECOND),
    "ts_queue_latency_microseconds": ("queue_seconds", MICROSECOND),
}
# Counters of Captionize's own handler -> the member of a snapshot. Only an archive that counts its
# batches has them.
BATCHES = {"CaptionBatches": "batches", "CaptionPictures": "pictures"}


def read(text: str) -> Samples:
    """Samples by name and labels; a counter's name is without the _total that not all have.

    Raises ValueError when the text is of another format.
    """
    samples: Samples = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removesuffix("_total")
            samples[name][frozenset(sample.labels.items())] = float(sample.value)
    return samples


def web(samples: Samples) -> dict[str, Any]:
    """The page's own part of a snapshot."""
    counts = samples.get("captionize_web_requests", {})
    requests = [
        {
            "route": labels["route"],
            "method": labels["method"],
            "status": int(labels["status"]),
            "count": int(count),
        }
        for labels, count in ((dict(key), count) for key, count in counts.items())
    ]
    return {
        "started": _only(samples, "process_start_time_seconds"),
        "memory_bytes": _only(samples, "process_resident_memory_bytes"),
        "requests": requests,
        "latency": _histograms(samples, "captionize_web_request_seconds"),
    }


def _histograms(samples: Samples, name: str) -> list[dict[str, Any]]:
    """One histogram a route; buckets are cumulative, `le` in seconds, null for infinity."""
    buckets: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for key, count in samples.get(f"{name}_bucket", {}).items():
        labels = dict(key)
        buckets[labels["route"]].append((float(labels["le"]), int(count)))
    sums = {dict(key)["route"]: total for key, total in samples.get(f"{name}_sum", {}).items()}
    return [
        {
            "route": route,
            "count": max(count for _, count in found),
            "sum_seconds": sums.get(route, 0.0),
            "buckets": [
                {"le": None if le == float("inf") else le, "count": count}
                for le, count in sorted(found)
            ],
        }
        for route, found in buckets.items()
    ]


def torchserve(samples: Samples) -> dict[str, Any]:
    """TorchServe's part of a snapshot: all counted since its start."""
    by_version: dict[tuple[str, str], dict[str, Any]] = {}
    for name, (member, unit) in BY_VERSION.items():
        for key, value in samples.get(name, {}).items():
            labels = dict(key)
            entry = _entry(by_version, labels.get("model_name"), labels.get("model_version"))
            entry[member] = value * unit
    for name, member in BATCHES.items():
        for key, value in samples.get(name, {}).items():
            labels = dict(key)
            entry = _entry(by_version, labels.get("ModelName"), labels.get("ModelVersion"))
            entry[member] = value
    return {
        "requests": {
            status.lower(): sum(samples.get(f"Requests{status}", {}).values())
            for status in ("2XX", "4XX", "5XX")
        },
        "models": list(by_version.values()),
    }


def _entry(
    entries: dict[tuple[str, str], dict[str, Any]], model: str | None, version: str | None
) -> dict[str, Any]:
    key = (model or "unknown", version or "default")
    return entries.setdefault(
        key,
        {
            "model": key[0],
            "version": key[1],
            "requests": 0.0,
            "inference_seconds": 0.0,
            "queue_seconds": 0.0,
            "batches": None,
            "pictures": None,
        },
    )


def _only(samples: Mapping[str, Mapping[Labels, float]], name: str) -> float | None:
    """The value of a metric without labels; None where the system does not tell."""
    return next(iter(samples.get(name, {}).values()), None)


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
