"""The figures of a minute, out of what was counted before and after it."""

from __future__ import annotations

from collections import Counter

import pytest

from webui.operations.figures import TIMES, Counts, count, figures, percentile
from webui.telemetry.metrics import Metrics

CAPTIONS = "captionize_captions_total"
REQUESTS = "captionize_web_requests_total"


def counts(captioned: int, failed: int, **statuses: int) -> Counts:
    found: Counts = Counter({(CAPTIONS, "captioned"): captioned, (CAPTIONS, "failed"): failed})
    found.update({(REQUESTS, status[1:]): number for status, number in statuses.items()})
    return found


def test_what_the_page_counts_is_added_up_over_versions_and_routes() -> None:
    metrics = Metrics()
    for version, route in (("1.0", "/api/captions"), ("2.0", "/")):
        metrics.captions.labels(version, "captioned").inc(2)
        metrics.caption_seconds.labels(version).observe(0.12)
        metrics.requests.labels(route, "POST", 503).inc()
    found = count(metrics.registry)
    assert found[CAPTIONS, "captioned"] == 4
    assert found[REQUESTS, "503"] == 2
    assert (found[TIMES, "0.1"], found[TIMES, "0.15"], found[TIMES, "+Inf"]) == (0, 2, 2)


def test_only_what_came_between_counts() -> None:
    now = figures(counts(100, 5, _200=100, _502=5), counts(130, 15, _200=130, _502=6, _504=9), 60)
    assert (now["captions"], now["failed_share"], now["failed_status"]) == (30, 0.25, 504)


@pytest.mark.parametrize(("seconds", "expected"), [(10, 4), (60, 4), (240, 1)])
def test_less_than_a_minute_is_not_made_into_more(seconds: float, expected: float) -> None:
    assert figures(counts(0, 0), counts(4, 0), seconds)["captions"] == expected


def test_of_nothing_there_is_no_share_and_no_time() -> None:
    now = figures(counts(7, 1, _200=9), counts(7, 1, _200=10), 60)
    assert now["captions"] == 0
    assert {now[name] for name in now if name != "captions"} == {None}


@pytest.mark.parametrize(
    ("within", "share", "expected"),
    [
        ([], 0.5, None),
        ([(0.1, 0), (float("inf"), 0)], 0.5, None),
        ([(0.1, 0), (0.2, 10), (float("inf"), 10)], 0.5, 0.15),
        ([(0.1, 5), (0.2, 10), (float("inf"), 10)], 0.95, 0.19),
        ([(0.1, 4), (float("inf"), 10)], 0.95, 0.1),  # longer than anybody measures
    ],
)
def test_percentiles(within: list[tuple[float, int]], share: float, expected: float | None) -> None:
    assert percentile(within, share) == pytest.approx(expected)
