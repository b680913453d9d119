"""What the benchmarks share: rounds in alternation, the machine's name, Markdown."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Task:
    """Work that is timed."""

    name: str
    pictures: int  # that one run gets through
    run: Callable[[], object]


def alternate(tasks: Sequence[Task], rounds: int) -> dict[str, list[float]]:
    """Pictures per second of each task by name, one number a round.

    The tasks take turns, so that what slows the machine down for a while slows them all. A first
    round, in which libraries choose their kernels, is not counted.
    """
    rates: dict[str, list[float]] = {task.name: [] for task in tasks}
    for number in range(rounds + 1):
        for task in tasks:
            started = time.perf_counter()
            task.run()
            rate = task.pictures / (time.perf_counter() - started)
            print(f"round {number} of {rounds}: {task.name}: {rate:.2f}/s", file=sys.stderr)
            if number:
                rates[task.name].append(rate)
    return rates


def ratios(rates: Sequence[float], others: Sequence[float]) -> list[float]:
    """How many times faster than ``others`` in the same round."""
    return [rate / other for rate, other in zip(rates, others, strict=True)]


def spread(values: Sequence[float]) -> str:
    """Median, lowest and highest, for a cell of a table."""
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first column is text, and whose others are numbers."""
    ruler = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ruler, *rows))


def machine() -> str:
    """The processor, how much of it is used, and the version of PyTorch, in one line."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def _processor() -> str:
    """Linux says it in a file; elsewhere the platform's name has to do."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
