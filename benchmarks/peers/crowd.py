"""Clients that wait after a refusal, for the benchmark: ``benchmarks.peers.crowd``.

Each sends its picture when its last one is answered, and waits a second after a 503 (or as long as
that says). wrk cannot wait: it would spend the server's cores on refusals. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import gevent
import numpy as np
from geventhttpclient import HTTPClient

TIMEOUT_S = 60
WAIT_S = 1.0


def client(url: Any, until: float, request: tuple[str, bytes, dict[str, str]]) -> list[Any]:
    """Send until a time; returns (status, milliseconds) of every answer, status 0 for a failure."""
    path, body, headers = request
    connection = HTTPClient.from_url(url, connection_timeout=TIMEOUT_S, network_timeout=TIMEOUT_S)
    seen = []
    while time.perf_counter() < until:
        started = time.perf_counter()
        try:
            response = connection.post(path, body=body, headers=headers)
            response.read()
            status, wait = response.status_code, response.get("retry-after")
        except (OSError, HTTPException):
            status, wait = 0, None
        seen.append((status, 1e3 * (time.perf_counter() - started)))
        if status != 200:
            gevent.sleep(float(str(wait or WAIT_S)))
    return seen


def main(argv: Sequence[str] | None = None) -> None:
    """Run all clients, and print what they got."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("path")
    parser.add_argument("headers", type=json.loads)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args(argv)
    request = options.path, options.picture.read_bytes(), options.headers
    started = time.perf_counter()
    jobs = [
        gevent.spawn(client, options.url, started + options.seconds, request)
        for _ in range(options.clients)
    ]
    gevent.joinall(jobs)
    seconds = time.perf_counter() - started
    seen = [answer for job in jobs for answer in job.value]
    answered = [milliseconds for status, milliseconds in seen if status == 200]
    p50, p95, p99 = np.percentile(answered or [0.0], [50, 95, 99]).tolist()
    json.dump(
        {
            "requests": sum(status > 0 for status, _ in seen),
            "seconds": seconds,
            "refused": sum(status >= 400 for status, _ in seen),
            "failed": sum(status == 0 for status, _ in seen),
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
