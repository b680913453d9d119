"""Captioning by the million beside one process: ``python -m benchmarks.batch``.

Drawn JPEGs, captioned by ``captionize FOLDER`` and by ``captionize batch`` on this machine in turn:
pictures a second, starting included, and the memory of all processes of the second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.measuring import Task, alternate, machine, ratios, spread, table
from benchmarks.pictures import draw_pictures

DISTINCT = 500  # drawn; the others are links to them
EVERY_S = 2.0
TARGET = 0.9


def album(folder: Path, count: int) -> Path:
    """A folder of ``count`` pictures."""
    drawn = draw_pictures(folder / "drawn", min(count, DISTINCT))
    pictures = folder / "album"
    pictures.mkdir()
    for number in range(count):
        os.link(drawn[number % len(drawn)], pictures / f"{number:07}.jpg")
    return pictures


def run(command: Sequence[str], memory: list[int] | None = None) -> None:
    """Run ``captionize``; gathers the bytes that it and what it starts take, now and then."""
    words = [sys.executable, "-m", "captionize", *command]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        ended = threading.Event()
        watch = threading.Thread(target=_watch, args=(process.pid, memory, ended))
        if memory is not None:
            watch.start()
        status = process.wait()
        ended.set()
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {status}.")


def _watch(pid: int, memory: list[int], ended: threading.Event) -> None:
    while not ended.wait(EVERY_S):
        total = 0
        try:
            parent = psutil.Process(pid)
            for one in [parent, *parent.children(recursive=True)]:
                total += one.memory_full_info().pss  # what processes share counts once
        except psutil.Error:
            continue  # one ended meanwhile
        memory.append(total)


def growth(memory: Sequence[int]) -> list[str]:
    """A row: MiB in the second fifth of a run, once all has started, and in the last."""
    fifth = max(len(memory) // 5, 1)
    early, late = statistics.median(memory[fifth : 2 * fifth]), statistics.median(memory[-fifth:])
    return [f"{early / 2**20:.0f}", f"{late / 2**20:.0f}", f"{max(memory) / 2**20:.0f}"]


def main() -> None:
    """Measure, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20_000, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="counted ones (default: %(default)s)")
    arguments = parser.parse_args()
    memory: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = str(album(folder, arguments.pictures))
        alone = ["caption", pictures, "--format", "jsonl", "--output", str(folder / "alone.jsonl")]

        def batch() -> None:
            memory.clear()
            run(["batch", pictures, str(folder / f"out-{time.monotonic_ns()}")], memory)

        names = "captionize FOLDER", "captionize batch"
        count = arguments.pictures
        tasks = [Task(names[0], count, lambda: run(alone)), Task(names[1], count, batch)]
        rates = alternate(tasks, arguments.rounds)
    ratio = ratios(rates[names[1]], rates[names[0]])
    print(f"{machine()}; {count} pictures, {arguments.rounds} rounds.\n")
    rows = [[one, spread(rates[one])] for one in names]
    rows.append([f"ratio, at least {TARGET}", f"{statistics.median(ratio):.2f}"])
    print(table(["captions/s", "median (range)"], rows), "\n")
    print(table(["memory, MiB", "early", "late", "most"], [["captionize batch", *growth(memory)]]))


if __name__ == "__main__":
    main()
