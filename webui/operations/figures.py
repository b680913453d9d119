"""What the page has counted, and the figures of a minute out of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

MINUTE_S = 60.0
TIMES = "captionize_caption_seconds_bucket"
# Sample -> the label by which it is added up, over all others.
COUNTED = {
    "captionize_captions_total": "outcome",
    "captionize_web_requests_total": "status",
    TIMES: "le",
}

# Such as ("captionize_captions_total", "failed"): everything since the page's start.
Counts = Counter[tuple[str, str]]


def count(registry: CollectorRegistry) -> Counts:
    """Add up what COUNTED names."""
    found: Counts = Counter()
    for sample in (sample for family in registry.collect() for sample in family.samples):
        if label := COUNTED.get(sample.name):
            found[sample.name, sample.labels[label]] += int(sample.value)
    return found


def figures(then: Counts, now: Counts, seconds: float) -> dict[str, float | None]:
    """What happened between two counts that are `seconds` apart; None where nothing is known."""
    came = {key: value - then[key] for key, value in now.items()}
    captioned = came.get(("captionize_captions_total", "captioned"), 0)
    failed = came.get(("captionize_captions_total", "failed"), 0)
    within = sorted((float(le), value) for (name, le), value in came.items() if name == TIMES)
    failures = {
        int(status): value
        for (name, status), value in came.items()
        if name == "captionize_web_requests_total" and status >= "500" and value
    }
    return {
        # Less than a minute counts as a whole one: a single caption is never made into many.
        "captions": round(captioned * MINUTE_S / max(MINUTE_S, seconds), 1),
        "p50_seconds": percentile(within, 0.5),
        "p95_seconds": percentile(within, 0.95),
        "failed_share": round(failed / (captioned + failed), 4) if captioned + failed else None,
        "failed_status": max(failures, key=lambda status: failures[status], default=None),
    }


def percentile(within: Sequence[tuple[float, int]], share: float) -> float | None:
    """Seconds within which this share came, of (bound, count within it); None for none at all.

    A bucket is taken as evenly filled; of the last one, which has no end, its begin is answered.
    """
    rank = share * within[-1][1] if within else 0.0
    low, below = 0.0, 0
    for bound, number in within:
        if 0 < rank <= number:
            inside = (rank - below) / (number - below)
            return low if bound == float("inf") else round(low + (bound - low) * inside, 3)
        low, below = bound, number
    return None
