"""Captions per second and the wait for one, against what they could be and against other servers.

``python -m benchmarks.serving`` (or ``make bench``) prints a report in Markdown. Everything that is
compared takes turns in one run, on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.in_process import InProcess, peak_gflops
from benchmarks.peers.environment import python as peers_python
from benchmarks.pictures import draw_pictures
from benchmarks.report import Curve, Measured, draw_chart, report
from benchmarks.services import (
    ROOT,
    BenchmarkError,
    Captionize,
    Load,
    Target,
    captionize,
    multipart,
    peer,
)

BATCH_SIZES = (1, 2, 4, 8, 16)
CLIENTS = 16
SMALL, LARGE = (500, 375), (4000, 3000)  # pixels: Flickr8k's most common size, and 12 megapixels
FORMS = "litserve_app"  # the peer that takes forms alone
SETTLE_S = 1.0  # for what clients leave behind when a load ends
PICTURES = 24  # of each size
CURVE_CLIENTS = (1, 2, 4, 8, 16, 32, 64)
CROWDS = (64, 128, 256)  # clients; the queue has 64 places
BEAMS = (1, 2, 3, 5, 8)
SPEED = ("captions/s",)
LATENCIES = ("captions/s", "p50, ms", "p99, ms")
MEGAPIXELS = {1: (1200, 900), 3: (2000, 1500), 6: (2828, 2121), 12: LARGE, 24: (5656, 4242)}


@dataclass(frozen=True)
class Peer:
    """Another server, and a load that it can answer in time."""

    name: str
    module: str  # of benchmarks.peers
    options: tuple[str, ...] = ()
    clients: int = CLIENTS
    seconds: float = 0  # at least


PEERS = (
    Peer("original, loaded once", "original"),
    Peer("original, loaded per request", "original", ("--reload",), clients=2, seconds=12),
    Peer("LitServe", FORMS),
    Peer("BLIP-base", "blip", clients=2, seconds=16),
)


def _served(load: Load, name: str) -> Load:
    """Pass on what was measured, if all was answered."""
    if load.failed or load.refused:
        raise BenchmarkError(f"{name}: {load.refused} refused and {load.failed} failed requests")
    return load


@dataclass(frozen=True)
class Bench:
    """Everything that is measured, running."""

    local: InProcess
    service: Captionize
    page: Target
    peers: Sequence[Peer]
    small: list[Path]
    large: list[Path]
    forms: list[Path]
    best_batch: int

    def round(self, seconds: float) -> Iterator[tuple[str, float]]:
        """One number of each kind, each when it is measured."""
        local, rest = self.local, self.service.inference

        def load(name: str, target: Target, bodies: list[Path], clients: int = CLIENTS) -> Load:
            got = _served(target.load(clients, seconds, bodies), name)
            time.sleep(SETTLE_S)
            return got

        yield "in process, best batch size", local.rate(local.captioner, self.best_batch)
        yield "encoder of 1.1 alone", local.encoder_rate()
        inside, before = local.core_ms(), self.service.core_seconds()
        found = load("REST", rest, self.small)
        outside = 1e3 * (self.service.core_seconds() - before) / found.requests - inside
        yield "REST", found.rate
        yield "outside the captioner: core-ms", outside
        yield "captionize FOLDER", folder_rate(self.small, int(4 * seconds * found.rate))
        yield "page", load("page", self.page, self.forms).rate
        yield "in process, 12 megapixels", local.whole_rate(8)
        yield "REST, 12 megapixels", load("REST, 12 megapixels", rest, self.large).rate
        yield "in process, one picture: ms", local.alone_ms(local.captioner)
        yield "REST, one client: p50 in ms", load("REST", rest, self.small, 1).p50_ms
        yield "page, one client: p50 in ms", load("page", self.page, self.forms, 1).p50_ms
        for batch in (1, 8):
            yield f"in process, batch of {batch}", local.rate(local.captioner, batch)
            yield f"TorchScript, batch of {batch}", local.rate(local.torchscript, batch)
        if local.older:
            yield "version 1.1, batch of 8", local.rate(local.older, 8)
            yield "version 1.1, one picture: ms", local.alone_ms(local.older)
        for one in self.peers:
            yield one.name, self._peer(one, seconds).rate
        yield "worker: MiB", self.service.worker_mib()
        yield "start: seconds", self.service.seconds_to_ready

    def _peer(self, one: Peer, seconds: float) -> Load:
        """Start a peer for one load alone: some are busy while nobody asks them anything, and all
        go on with what clients have left behind."""
        with peer(peers_python(), one.module, *one.options) as target:
            bodies = self.small
            if one.module == FORMS:
                target, bodies = multipart(target, self.small, self.small[0].parent)
            target.load(1, 1, bodies)
            return _served(target.load(one.clients, max(seconds, one.seconds), bodies), one.name)


def folder_rate(pictures: Sequence[Path], count: int) -> float:
    """Pictures per second of the command that captions a folder, without the time of its start."""
    with tempfile.TemporaryDirectory() as name:
        seconds = []
        for size in (CLIENTS, CLIENTS + count):
            folder = Path(name, str(size))
            folder.mkdir()
            for number in range(size):
                os.link(pictures[number % len(pictures)], folder / f"{number}.jpg")
            command = [sys.executable, "-m", "captionize", str(folder), "--format", "jsonl"]
            started = time.perf_counter()
            done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
            seconds.append(time.perf_counter() - started)
            if done.returncode or len(done.stdout.splitlines()) != size:
                raise BenchmarkError(f"captionize FOLDER failed: {done.stderr[-500:]!r}")
    return count / (seconds[1] - seconds[0])


def curves(bench: Bench, seconds: float) -> list[Curve]:
    """How speed depends on clients, batch, beam and megapixels; a full queue."""
    local, rest = bench.local, bench.service.inference

    def load(clients: int, bodies: Sequence[Path]) -> Load:
        got = rest.load(clients, seconds, bodies)
        time.sleep(SETTLE_S)
        return got

    loads = {clients: load(clients, bench.small) for clients in CURVE_CLIENTS}
    batches = {batch: local.rate(local.captioner, batch) for batch in BATCH_SIZES}
    beams = {beam: local.beam_rate(beam) for beam in BEAMS}
    sizes = {}
    for megapixels, size in MEGAPIXELS.items():
        with tempfile.TemporaryDirectory() as folder:
            sizes[megapixels] = load(CLIENTS, draw_pictures(Path(folder, "sized"), 4, size))
    found = [
        Curve("clients", LATENCIES, {n: (x.rate, x.p50_ms, x.p99_ms) for n, x in loads.items()}),
        Curve("batch, in process", SPEED, {n: (x,) for n, x in batches.items()}),
        Curve("beam, in process, batches of 8", SPEED, {n: (x,) for n, x in beams.items()}),
        Curve(
            "megapixels, 16 clients",
            LATENCIES,
            {n: (x.rate, x.p50_ms, x.p99_ms) for n, x in sizes.items()},
        ),
    ]
    if bench.peers:
        python, picture = peers_python(), bench.small[0]
        crowds = {n: rest.crowd(python, n, 2 * seconds, picture) for n in CROWDS}
        found.append(
            Curve(
                "clients that wait when refused",
                (*LATENCIES, "refused, %", "failed"),
                {
                    n: (x.rate, x.p50_ms, x.p99_ms, x.refused_percent, x.failed)
                    for n, x in crowds.items()
                },
            )
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--seconds", type=float, default=6, help="of each load (default: 6)")
    parser.add_argument("--json", type=Path, help="file for the numbers of every round")
    parser.add_argument("--chart", type=Path, help="file for a chart (PNG)")
    parser.add_argument("--no-peers", action="store_true", help="leave the other servers out")
    arguments = parser.parse_args(argv)
    try:
        measured, drawn = measure(arguments.rounds, arguments.seconds, not arguments.no_peers)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    if arguments.chart:
        draw_chart(measured, drawn, arguments.chart)
    print(report(measured, drawn, arguments.rounds))
    return 0


def measure(rounds: int, seconds: float, with_peers: bool) -> tuple[Measured, list[Curve]]:
    """Start everything, and let it take turns; a first, short round is not counted."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        small = draw_pictures(folder / "small", PICTURES, SMALL)
        large = draw_pictures(folder / "large", PICTURES, LARGE)
        local = InProcess(small, large)
        rates = {batch: local.rate(local.captioner, batch) for batch in BATCH_SIZES}
        service = stack.enter_context(captionize())
        page, forms = multipart(service.page, small, folder)
        peers = PEERS if with_peers else ()
        best = max(rates, key=rates.__getitem__)
        bench = Bench(local, service, page, peers, small, large, forms, best)
        measured: Measured = defaultdict(list)
        for number in range(rounds + 1):
            turn = bench if number else replace(bench, peers=())
            for name, value in turn.round(seconds if number else 2):
                print(f"round {number} of {rounds}: {name}: {value:.2f}", file=sys.stderr)
                if number:
                    measured[name].append(value)
        measured["peak: GFLOP/s"] = [peak_gflops() for _ in range(rounds)]
        measured["one picture: GFLOP"] = [local.gflop()]
        return dict(measured), curves(bench, seconds / 2)


if __name__ == "__main__":
    sys.exit(main())
