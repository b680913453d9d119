"""What waits, refusals and costs come out for a load, and what limits it first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.fleet.costs import USE
from benchmarks.fleet.scenario import Arrivals, Autoscaler, Fleet, Outcome, Scenario
from benchmarks.fleet.simulation import Machine
from benchmarks.fleet.times import Measured
from benchmarks.measuring import table

SECONDS = 180.0  # simulated, of each
LARGE = 10_000  # captions a second


def scenarios(
    measured: Measured, rate: float, prices: Sequence[float], seed: int
) -> Iterator[Scenario]:
    """The same load on CPUs, as the manifests scale them and better, and on GPUs."""
    cpu, gpu = measured.cpu(prices[0]), measured.gpu(prices[1])
    for one in (cpu, gpu, measured.gpu(prices[1], 4)):
        scaler = Autoscaler(USE * one.capacity, one.batch_size)
        plain = Scenario(one, Arrivals(rate), scaler, SECONDS, seed=seed)
        yield plain
        if one is cpu:
            yield replace(plain, choices=2, scaler=replace(scaler, share=0.25))


def row(one: Scenario, came: Outcome) -> list[str]:
    """A line of the report."""
    tally, scaled = came.tally, " two choices, faster" if one.choices > 1 else ""
    answered = max(tally.arrived - came.left, 1)
    return [
        one.machine.name + ("," + scaled if scaled else ""),
        f"{one.arrivals.rate:,.0f}",
        f"{came.replica_s / came.seconds:.1f}",
        str(came.most),
        *(f"{1000 * tally.percentile(share):.0f}" for share in (0.5, 0.99)),
        f"{100 * tally.refused / answered:.2f}",
        f"{100 * tally.failed / answered:.3f}",
        f"{came.hourly:.2f}",
        f"{came.million:.2f}",
    ]


def limits(one: Machine) -> list[str]:
    """What each part of a replica can do at most, and how many replicas a large load takes."""
    stages = one.stages()
    first = min(stages, key=stages.__getitem__)
    needed = math.ceil(LARGE / (USE * one.capacity))
    rates = [f"{stages[part]:,.0f}" for part in ("page", "workers")]
    return [one.name, *rates, first, f"{needed:,}"]


def scaling_report(
    measured: Measured, rates: Sequence[float], cpu_price: float, gpu_price: float, seed: int
) -> str:
    """All of it in Markdown."""
    header = ["replicas", "captions/s asked", "replicas, mean", "most", "p50, ms", "p99, ms"]
    header += ["refused, %", "lost, %", "cost an hour", "a million"]
    rows = [
        row(one, Fleet(one).run())
        for rate in rates
        for one in scenarios(measured, rate, (cpu_price, gpu_price), seed)
    ]
    machines = measured.cpu(cpu_price), measured.gpu(gpu_price), measured.gpu(gpu_price, 4)
    gigabits = 8e-9 * LARGE * measured.picture_bytes
    return "\n\n".join(
        (
            f"Measured on: {measured.machine}. A GPU's times are assumed. "
            f"Prices: {cpu_price:.2f} an hour for a CPU replica, {gpu_price:.2f} for a GPU.",
            table(header, rows),
            "What the parts of a replica could do at most, in captions a second, and the replicas "
            f"that {LARGE:,} a second take at two thirds of it:",
            table(
                ["replica", "page", "workers", "first limit", "replicas"], [*map(limits, machines)]
            ),
            f"{LARGE:,} pictures a second are {gigabits:.1f} Gbit/s before all of them.",
        )
    )
