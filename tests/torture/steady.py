"""An hour of plain load on a service of its own, and a chart of what its processes need meanwhile.

python -m tests.torture.steady --minutes 60 --rate 20 --chart docs/memory.svg
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from tests.torture.clients import Clients, Request, drawn
from tests.torture.files import FORMS
from tests.torture.pictures import draw
from tests.torture.stage import PARTS, OwnStage, Stage, stop_cleanly

CLIENTS = 4
SAMPLE_S = 10.0


def paced(client: int, rate: float) -> Iterator[Request]:
    """Sound pictures of every format with any options, each client a share of so many a second."""
    rng = random.Random(client)
    pictures = [draw(rng, kind) for kind in FORMS for _ in range(3)]
    due = time.monotonic()
    for request in drawn(pictures, rng):
        yield request
        due = max(due + CLIENTS / rate, time.monotonic() - 1)
        time.sleep(max(0, due - time.monotonic()))


def sampled(stage: Stage, minutes: float) -> list[dict[str, float]]:
    """The memory of each part in MB, every ten seconds."""
    begun = time.monotonic()
    samples = []
    while (now := time.monotonic() - begun) < 60 * minutes:
        samples.append({"minute": now / 60, **{part: stage.megabytes(part) for part in PARTS}})
        time.sleep(SAMPLE_S)
    return samples


def draw_chart(samples: list[dict[str, float]], path: Path) -> None:
    """Write the memory over time as an SVG."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3))
    for part in PARTS:
        axes.plot([s["minute"] for s in samples], [s[part] for s in samples], label=part)
    axes.set(xlabel="minutes", ylabel="MB", ylim=(0, None))
    axes.legend(loc="center right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def report(clients: Clients, samples: list[dict[str, float]]) -> None:
    """Print what was answered, and what each part needed."""
    print(f"{dict(clients.answers)}, the longest took {clients.longest:.1f} s")
    print(f"wrong: {[(who, answer) for who, answer, _ in clients.problems]}")
    tenth = max(1, len(samples) // 10)
    for part in PARTS:
        first, last = samples[tenth : 2 * tenth] or samples, samples[-tenth:]
        print(
            f"{part}: {mean(s[part] for s in first):.0f} MB in the second tenth of the time, "
            f"{mean(s[part] for s in last):.0f} MB in the last, "
            f"{max(s[part] for s in samples):.0f} MB at most"
        )


def main() -> int:
    """Run it and print a line of figures for each part; 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(",")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=20, help="captions a second")
    parser.add_argument("--chart", type=Path, help="an SVG file to write")
    options = parser.parse_args()
    stop_cleanly()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        stage = OwnStage(Path(folder, "stage"))
        try:
            stage.start()
            with Clients(stage.url, CLIENTS, lambda client: paced(client, options.rate)) as clients:
                samples = sampled(stage, options.minutes)
            report(clients, samples)
            if options.chart:
                draw_chart(samples, options.chart)
            left = stage.stop()
        finally:
            stage.close()
    print(f"left over: {left}")
    return 1 if clients.problems or left else 0


if __name__ == "__main__":
    sys.exit(main())
