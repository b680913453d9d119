"""Finds the ``model-config.yaml`` that serves fastest here: ``python -m benchmarks.tune``.

One setting after another is tried over REST, and kept where many clients get more captions per
second and a lone one does not wait longer than ``--patience`` times the shortest wait. Prints what
was measured and the lines to put into the files; ``--output`` writes an archive with them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from benchmarks.measuring import machine, table
from benchmarks.pictures import draw_pictures
from benchmarks.services import ROOT, BenchmarkError, captionize

ARCHIVE = ROOT / "model_store" / "captioner.mar"
CONFIG = "model-config.yaml"
SIZE = (500, 375)  # pixels of the pictures that are sent
GAIN = 1.03  # times as many captions make a change worth it: less is chance
WORKER_SETTINGS = ("batchSize", "maxBatchDelay")  # the others stand in the section captioner


@dataclass(frozen=True)
class Setting:
    """What is tried together."""

    workers: int = 1
    threads: int = 0  # that compute, of each worker; 0: as many as cores
    batchSize: int = 8  # noqa: N815  # TorchServe's name
    maxBatchDelay: int = 1  # noqa: N815  # milliseconds
    decode_threads: int = 2

    def in_file(self) -> dict[str, int]:
        """Those that stand in model-config.yaml."""
        return {name: value for name, value in vars(self).items() if name != "workers"}


@dataclass(frozen=True)
class Outcome:
    """What a setting gave."""

    rate: float  # captions per second, many clients
    alone_ms: float  # p50 of one client

    def better_than(self, other: Outcome, patience: float, shortest_ms: float) -> bool:
        """Whether to take this one instead."""
        if self.alone_ms > patience * shortest_ms:
            return False
        return self.rate > GAIN * other.rate or other.alone_ms > patience * shortest_ms


def candidates(cores: int, gpu: bool) -> list[list[dict[str, int]]]:
    """What to try, one group after the other, each on top of the best of those before."""
    shares = [{"workers": n, "threads": max(1, cores // n)} for n in (2, 4) if n <= cores]
    return [
        [] if gpu else shares,
        [{"batchSize": n} for n in ((16, 32, 64, 128) if gpu else (4, 16))],
        [{"maxBatchDelay": n} for n in (3, 10)],
        [{"decode_threads": n} for n in (1, 4, 8) if n <= 2 * cores],
    ]


def with_settings(archive: Path, output: Path, values: Mapping[str, int]) -> None:
    """Copy an archive, with other values in its configuration; comments there are lost."""
    with zipfile.ZipFile(archive) as given, zipfile.ZipFile(output, "w") as made:
        for entry in given.infolist():
            content = given.read(entry)
            if entry.filename == CONFIG:
                config = yaml.safe_load(content)
                for name, value in values.items():
                    (config if name in WORKER_SETTINGS else config["captioner"])[name] = value
                content = yaml.safe_dump(config, sort_keys=False).encode()
            made.writestr(entry, content)


def try_out(setting: Setting, clients: int, seconds: float, pictures: Sequence[Path]) -> Outcome:
    """Serve with a setting, and measure.

    Raises:
        BenchmarkError: the service does not start, or requests fail.
    """
    with tempfile.TemporaryDirectory() as store:
        with_settings(ARCHIVE, Path(store, ARCHIVE.name), setting.in_file())
        variables = {
            "CAPTIONIZE_MODEL_STORE": store,
            "CAPTIONIZE_WORKERS": str(setting.workers),
        }
        with captionize(**variables) as service:
            service.inference.load(clients, 2, pictures)
            many = service.inference.load(clients, seconds, pictures)
            alone = service.inference.load(1, seconds / 2, pictures)
    if many.failed or many.refused:
        raise BenchmarkError(f"{setting}: {many.failed} failed, {many.refused} refused requests")
    return Outcome(many.rate, alone.p50_ms)


def tune(
    clients: int, seconds: float, patience: float, rounds: int, *, gpu: bool = False
) -> tuple[Setting, list[tuple[Setting, Outcome]]]:
    """Returns the best setting, and all that were tried."""
    best = Setting()
    tried: list[tuple[Setting, Outcome]] = []
    with tempfile.TemporaryDirectory() as folder:
        pictures = draw_pictures(Path(folder, "pictures"), 2 * clients, SIZE)
        for group in filter(None, candidates(os.cpu_count() or 1, gpu)):
            settings = [replace(best, **changes) for changes in ({}, *group)]
            outcomes: dict[Setting, list[Outcome]] = {setting: [] for setting in settings}
            # In turn, the best so far among them: what slows the machine for a while slows all.
            for _ in range(rounds):
                for setting in settings:
                    outcome = try_out(setting, clients, seconds, pictures)
                    print(f"{setting}: {outcome}", file=sys.stderr)
                    outcomes[setting].append(outcome)
            beside = [(setting, middle(found)) for setting, found in outcomes.items()]
            best = choose(beside, patience)
            tried += beside
    return best, tried


def middle(outcomes: Sequence[Outcome]) -> Outcome:
    """The medians."""
    return Outcome(
        statistics.median(one.rate for one in outcomes),
        statistics.median(one.alone_ms for one in outcomes),
    )


def choose(tried: Sequence[tuple[Setting, Outcome]], patience: float) -> Setting:
    """The best of what was measured beside each other."""
    shortest = min(outcome.alone_ms for _, outcome in tried)
    best, result = tried[0]
    for setting, outcome in tried[1:]:
        if outcome.better_than(result, patience, shortest):
            best, result = setting, outcome
    return best


def report(best: Setting, tried: Sequence[tuple[Setting, Outcome]]) -> str:
    """What was measured, and what to write where, in Markdown."""
    names = list(vars(best))
    rows = [
        [*(str(value) for value in vars(s).values()), f"{o.rate:.1f}", f"{o.alone_ms:.0f}"]
        for s, o in tried
    ]
    own = {name: getattr(best, name) for name in ("threads", "decode_threads")}
    lines = {name: getattr(best, name) for name in WORKER_SETTINGS} | {"captioner": own}
    return "\n\n".join(
        (
            f"{machine()}.",
            table([*names, "captions/s", "alone, ms"], rows),
            f"Best, in handler/{CONFIG} (the rest of it stays):",
            f"```yaml\n{yaml.safe_dump(lines, sort_keys=False)}```",
            f"and CAPTIONIZE_WORKERS={best.workers}.",
        )
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune", description=__doc__)
    parser.add_argument("--clients", type=int, default=16, help="at a time (default: 16)")
    parser.add_argument("--seconds", type=float, default=6, help="of each load (default: 6)")
    parser.add_argument(
        "--patience",
        type=float,
        default=1.2,
        help="how many times the shortest wait a lone client may wait (default: 1.2)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each setting (default: 3)")
    parser.add_argument("--gpu", action="store_true", help="try the batch sizes of a GPU")
    parser.add_argument("--output", type=Path, help="archive to write with the best settings")
    options = parser.parse_args(argv)
    try:
        best, tried = tune(
            options.clients, options.seconds, options.patience, options.rounds, gpu=options.gpu
        )
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.output:
        with_settings(ARCHIVE, options.output, best.in_file())
    print(report(best, tried))
    return 0


if __name__ == "__main__":
    sys.exit(main())
