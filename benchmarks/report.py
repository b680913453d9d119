"""What the serving benchmark says: ratios beside their targets, tables and a chart."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import machine, spread, table

OURS = ("in process, best batch size", "REST", "page", "captionize FOLDER")
SERVERS = (*OURS, "LitServe", "original, loaded once", "original, loaded per request", "BLIP-base")

Measured = dict[str, list[float]]  # by name, one number a round


@dataclass(frozen=True)
class Comparison:
    """A line of the report: what a ratio is of, and what it should be."""

    what: str
    against: str
    over: Callable[[Measured], list[float]]  # the ratio of each round
    target: float
    at_most: bool = False

    def row(self, measured: Measured) -> list[str]:
        """The line's cells; a ratio meets its target by its median."""
        try:
            values = self.over(measured)
        except KeyError:
            return [self.what, self.against, "not measured", "", ""]
        median = statistics.median(values)
        met = median <= self.target if self.at_most else median >= self.target
        aim = f"{'at most' if self.at_most else 'at least'} {self.target:g}"
        shown = f"{median:.2f} ({min(values):.2f} to {max(values):.2f})"
        return [self.what, self.against, shown, aim, "met" if met else "**not met**"]


def times(one: str, other: str) -> Callable[[Measured], list[float]]:
    """How many times ``other`` the number ``one`` is, round by round."""
    return lambda measured: [a / b for a, b in zip(measured[one], measured[other], strict=True)]


def measures(name: str) -> Callable[[Measured], list[float]]:
    """A number that is compared with nothing."""
    return lambda measured: measured[name]


COMPARISONS = (
    Comparison(
        "captions/s over REST, 16 clients, 500 x 375",
        "the float32 encoder of version 1.1 alone, batch of 8",
        times("REST", "encoder of 1.1 alone"),
        0.85,
    ),
    Comparison(
        "in process, batch of 8",
        "version 1.1, float32",
        times("in process, batch of 8", "version 1.1, batch of 8"),
        1.7,
    ),
    Comparison(
        "p50 of one client alone",
        "in process, from bytes to captions",
        times("REST, one client: p50 in ms", "in process, one picture: ms"),
        1.10,
        at_most=True,
    ),
    Comparison(
        "the same",
        "version 1.1 in process",
        times("REST, one client: p50 in ms", "version 1.1, one picture: ms"),
        0.65,
        at_most=True,
    ),
    Comparison(
        "core-ms a picture outside the captioner",
        "",
        measures("outside the captioner: core-ms"),
        2.0,
        at_most=True,
    ),
    Comparison(
        "captions/s over REST, 12 megapixels",
        "in process, decoding included",
        times("REST, 12 megapixels", "in process, 12 megapixels"),
        0.85,
    ),
    Comparison(
        "captionize FOLDER",
        "captions/s over REST, 16 clients",
        times("captionize FOLDER", "REST"),
        1.0,
    ),
    Comparison(
        "page's POST /api/captions, 16 clients",
        "straight to TorchServe",
        times("page", "REST"),
        0.95,
    ),
    Comparison(
        "the page adds at p50, ms",
        "straight to TorchServe",
        lambda measured: [
            page - rest
            for page, rest in zip(
                measured["page, one client: p50 in ms"],
                measured["REST, one client: p50 in ms"],
                strict=True,
            )
        ],
        3,
        at_most=True,
    ),
    Comparison("captions/s over REST", "LitServe, same captioner", times("REST", "LitServe"), 1.15),
    Comparison(
        "captions/s over REST",
        "Flask, eager, a picture a request, loaded once",
        times("REST", "original, loaded once"),
        4,
    ),
    Comparison(
        "captions/s over REST",
        "the same, loaded for every request",
        times("REST", "original, loaded per request"),
        15,
    ),
    Comparison("captions/s over REST", "BLIP-base, random weights", times("REST", "BLIP-base"), 30),
    Comparison(
        "in process, batch of 8",
        "plain frozen TorchScript",
        times("in process, batch of 8", "TorchScript, batch of 8"),
        1.7,
    ),
    Comparison("worker's memory, MiB", "", measures("worker: MiB"), 450, at_most=True),
    Comparison("start to READY, seconds", "", measures("start: seconds"), 3, at_most=True),
)


@dataclass(frozen=True)
class Curve:
    """How some numbers depend on another one."""

    of: str
    columns: tuple[str, ...]
    rows: Mapping[int, tuple[float, ...]]


def limit(measured: Measured) -> str:
    """How much of what the cores can do the model's arithmetic takes, as a sentence."""
    peak, each, rate = (
        statistics.median(measured[name])
        for name in ("peak: GFLOP/s", "one picture: GFLOP", "in process, batch of 8")
    )
    return (
        f"The cores multiply float32 matrices at {peak:.0f} GFLOP/s, and a picture takes "
        f"{each:.2f} GFLOP: {peak / each:.0f} captions/s would be all there is in float32. "
        f"In process, batches of 8 reach {100 * rate * each / peak:.0f} % of it."
    )


def report(measured: Measured, curves: Sequence[Curve], rounds: int) -> str:
    """The whole report in Markdown."""
    header = ["what", "against", "ratio: median (range)", "target", ""]
    parts = [
        f"{machine()}; {rounds} rounds.",
        table(header, [comparison.row(measured) for comparison in COMPARISONS]),
        table(
            ["measured", "median (range)"],
            [[name, spread(values)] for name, values in measured.items()],
        ),
        limit(measured),
    ]
    for curve in curves:
        rows = [[str(n), *(f"{x:.0f}" for x in values)] for n, values in curve.rows.items()]
        parts.append(table([curve.of, *curve.columns], rows))
    return "\n\n".join(parts)


def draw_chart(measured: Measured, curves: Sequence[Curve], path: Path) -> None:
    """Draw captions per second by server, and by clients with the wait for one (PNG)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=110, layout="constrained")
    servers, clients = figure.subplots(1, 2)
    names = [name for name in SERVERS if name in measured]
    medians = [statistics.median(measured[name]) for name in names]
    bars = servers.barh(
        names, medians, color=["#1d6b4f" if n in OURS else "#b9bdb3" for n in names]
    )
    servers.bar_label(bars, fmt="%.1f", padding=3)
    servers.invert_yaxis()
    servers.set_title("captions per second, 16 clients", loc="left")
    by_clients = curves[0]
    xs = list(by_clients.rows)
    clients.plot(xs, [row[0] for row in by_clients.rows.values()], "o-", color="#1d6b4f")
    clients.set_xscale("log", base=2)
    clients.set_xticks(xs, map(str, xs))
    clients.set_xlabel("clients")
    clients.set_ylim(bottom=0)
    clients.set_title("captions per second (green) and p50 in ms (grey)", loc="left")
    waits = clients.twinx()
    waits.plot(xs, [row[1] for row in by_clients.rows.values()], "s--", color="#85897f")
    waits.set_ylim(bottom=0)
    for axes in (servers, clients, waits):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
