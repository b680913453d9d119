"""Holds the simulation against the real service at one and two workers of one thread each.

The simulation is given times of batches in the handler alone, and what goes beside them, measured
with one client and in the processes' own accounts; the service's throughput and waits under load
are measured only to be compared.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import simpy

from benchmarks.fleet import measuring
from benchmarks.fleet.simulation import Machine, Process, Replica, Request, Tally
from benchmarks.fleet.times import Layout, Measured
from benchmarks.measuring import machine, table
from benchmarks.pictures import draw_pictures
from benchmarks.services import BenchmarkError, Captionize, captionize, multipart
from benchmarks.tune import ARCHIVE, with_settings

LAYOUTS = (Layout(1, 1), Layout(2, 1))
CLIENTS = (4, 16, 32)
PICTURES = 24
RUNS = 5
BATCH_S, WARM_S, SETTLE_S = 1.5, 2.0, 1.0  # seconds
RATE_WITHIN, P95_WITHIN = 0.10, 0.25  # of what is measured


@dataclass(frozen=True)
class Figures:
    """What clients got."""

    rate: float  # captions a second
    p95_s: float

    @classmethod
    def middle(cls, runs: Sequence[Figures]) -> Figures:
        """The medians."""
        rates, waits = zip(*((one.rate, one.p95_s) for one in runs), strict=True)
        return cls(statistics.median(rates), statistics.median(waits))


@dataclass(frozen=True)
class Comparison:
    """A load of the real service, and the same simulated."""

    layout: Layout
    clients: int
    measured: Figures
    simulated: Figures

    @property
    def off(self) -> Figures:
        """How far the simulation is off, as shares of what was measured."""
        return Figures(
            self.simulated.rate / self.measured.rate - 1,
            self.simulated.p95_s / self.measured.p95_s - 1,
        )

    @property
    def holds(self) -> bool:
        """Whether it is near enough."""
        return abs(self.off.rate) <= RATE_WITHIN and abs(self.off.p95_s) <= P95_WITHIN

    def row(self) -> list[str]:
        """Cells of the report."""
        real, paper, off = self.measured, self.simulated, self.off
        return [
            str(self.layout),
            str(self.clients),
            *(f"{one.rate:.1f}" for one in (real, paper)),
            f"{100 * off.rate:+.0f} %",
            *(f"{1000 * one.p95_s:.0f}" for one in (real, paper)),
            f"{100 * off.p95_s:+.0f} %",
            "holds" if self.holds else "**does not hold**",
        ]


def simulate(one: Machine, measured: Measured, clients: int, seconds: float, seed: int) -> Figures:
    """Clients that each send their next picture when the last is answered, as `wrk` does.

    On average `client_s` of wrk's one thread go before each request, and `java_s` in Java, on as
    many cores as there are: all of a batch are answered at once, and come again bit by bit.
    """
    env, tally = simpy.Environment(), Tally()
    rng = random.Random(seed)  # nosec B311 # not secret
    replica = Replica(env, one, tally, rng)
    steps = (
        (simpy.Resource(env, 1), measured.client_s),
        (simpy.Resource(env, measured.cores), measured.java_s),
    )

    def client() -> Process:
        while True:
            answered = env.event()
            request = Request(env.now, answered)
            for resource, mean_s in steps:
                with resource.request() as turn:
                    yield turn
                    yield env.timeout(rng.expovariate(1 / mean_s))
            replica.take(request)
            yield answered

    for _ in range(clients):
        env.process(client())
    env.run(until=seconds)
    return Figures(tally.captioned / seconds, tally.percentile(0.95))


@contextmanager
def served(layout: Layout) -> Iterator[Captionize]:
    """The real service with these workers."""
    with tempfile.TemporaryDirectory() as store:
        with_settings(ARCHIVE, Path(store, ARCHIVE.name), {"threads": layout.threads})
        variables = {
            "CAPTIONIZE_MODEL_STORE": store,
            "CAPTIONIZE_WORKERS": str(layout.workers),
            "OMP_NUM_THREADS": str(layout.threads),
        }
        with captionize(**variables) as service:
            yield service


def under_load(service: Captionize, files: Sequence[Path], clients: int, seconds: float) -> Figures:
    """What the real service gave."""
    load = service.inference.load(clients, seconds, files)
    time.sleep(SETTLE_S)
    if load.failed or load.refused:
        raise BenchmarkError(f"{load.failed} failed, {load.refused} refused requests")
    return Figures(load.rate, load.p95_ms / 1000)


def beside(
    service: Captionize, files: Sequence[Path], folder: Path, seconds: float, alone_s: float
) -> tuple[float, float, float, float]:
    """Seconds of overhead a batch; of a core a picture in Java, in the clients and in the page.

    `alone_s` is the handler's time for a picture alone.
    """
    lone = service.inference.load(1, seconds, files)
    before = measuring.processor_s(service, measuring.JAVA), measuring.children_s()
    crowd = service.inference.load(16, seconds, files)
    java_s = (measuring.processor_s(service, measuring.JAVA) - before[0]) / crowd.requests
    client_s = (measuring.children_s() - before[1]) / crowd.requests
    overhead_s = max(lone.p50_ms / 1000 - alone_s - java_s - Machine.delay_s, 0.0)
    page, forms = multipart(service.page, files, folder)
    page.load(16, WARM_S, forms)
    started = measuring.processor_s(service, measuring.PAGE)
    uploads = page.load(16, seconds, forms)
    page_s = (measuring.processor_s(service, measuring.PAGE) - started) / uploads.requests
    return overhead_s, java_s, client_s, page_s


def validate(seconds: float) -> tuple[Measured, list[Comparison]]:
    """Measure the parts, then the service, and simulate it."""
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = draw_pictures(folder / "pictures", PICTURES)
        pictures = [file.read_bytes() for file in files]
        layouts = dict.fromkeys((*LAYOUTS, Layout(1, cores)))
        times = {str(one): measuring.batches(one, pictures, BATCH_S) for one in layouts}
        print("The handler's times are measured.", file=sys.stderr)
        real: dict[tuple[Layout, int], Figures] = {}
        for layout in LAYOUTS:
            with served(layout) as service:
                service.inference.load(16, WARM_S, files)
                if layout == LAYOUTS[0]:
                    alone_s = statistics.median(times[str(layout)]["1"])
                    parts = beside(service, files, folder, seconds, alone_s)
                real |= _loads(service, layout, files, seconds)
        measured = Measured(
            machine(),
            cores,
            times,
            *parts,
            measuring.decoding(pictures),
            sum(map(len, pictures)) // len(pictures),
        )
    return measured, compare(measured, real)


def _loads(
    service: Captionize, layout: Layout, files: Sequence[Path], seconds: float
) -> dict[tuple[Layout, int], Figures]:
    """The medians of all runs, whose loads take turns."""
    runs: dict[int, list[Figures]] = {clients: [] for clients in CLIENTS}
    for number in range(RUNS):
        for clients, found in runs.items():
            found.append(under_load(service, files, clients, seconds))
            print(f"{layout}, run {number + 1}, {clients}: {found[-1]}", file=sys.stderr)
    return {(layout, clients): Figures.middle(found) for clients, found in runs.items()}


def compare(
    measured: Measured, real: dict[tuple[Layout, int], Figures], seconds: float = 60
) -> list[Comparison]:
    """Simulate what was measured; a layout's machine has the clients beside it."""
    found = []
    for (layout, clients), figures in real.items():
        one = measured.machine_of(layout, measured.java_s + measured.client_s)
        runs = [simulate(one, measured, clients, seconds, seed) for seed in range(RUNS)]
        found.append(Comparison(layout, clients, figures, Figures.middle(runs)))
    return found


def report(measured: Measured, found: Sequence[Comparison]) -> str:
    """The comparison in Markdown."""
    header = ["workers x threads", "clients", "captions/s", "simulated", "off"]
    header += ["p95, ms", "simulated", "off", ""]
    parts = {
        "TorchServe adds to a batch": measured.overhead_s,
        "Java, a picture": measured.java_s,
        "wrk, a picture": measured.client_s,
        "page, a picture": measured.page_s,
        "decoding, a picture": measured.decode_s,
    }
    rows = [[name, f"{1000 * value:.2f}"] for name, value in parts.items()]
    return "\n\n".join(
        (
            f"{measured.machine}; median of {RUNS} runs.",
            table(["part", "ms"], rows),
            table(header, [one.row() for one in found]),
        )
    )
