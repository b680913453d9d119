"""Tortures a service of its own, in rounds by seeds, and prints a table of figures.

python -m tests.torture --minutes 10 --seed 1
python -m tests.torture --round pictures:123
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.torture.clients import ROOT
from tests.torture.rounds import ROUNDS
from tests.torture.stage import FAKETIME, OwnStage, stop_cleanly
from tests.torture.torture import Torture

KEPT = ROOT / "run" / "torture"


def rounds(seed: int, minutes: float) -> list[tuple[str, int]]:
    """Names and seeds of more rounds than there is time for; each once before any comes again."""
    rng = random.Random(seed)
    planned: list[tuple[str, int]] = []
    for _ in range(int(minutes) + 1):
        names = [*ROUNDS, "pictures", "pictures"]
        rng.shuffle(names)
        planned += [(name, rng.randrange(2**32)) for name in names]
    return planned


def table(torture: Torture, minutes: float, left: list[str]) -> str:
    """The figures, in Markdown."""

    def listed(counts: dict[str, int]) -> str:
        common = sorted(counts.items(), key=lambda one: -one[1])
        return ", ".join(f"{n:,} x {name}" for name, n in common) or "none"

    rows = {
        "time": f"{minutes:.1f} minutes",
        "sound pictures, answered": listed(torture.answers),
        "damaged pictures, answered": listed(torture.mutated),
        "the longest that anybody waited": f"{torture.longest_s:.1f} s",
        **{
            f"kills of {part}": f"{count}, ready again after {torture.back_s[part]:.1f} s at most"
            for part, count in torture.kills.items()
        },
        "requests that ended with a killed page": f"{torture.lost}",
        **{name: f"{count:,}" for name, count in sorted(torture.counts.items())},
        **{
            f"memory of {part}": f"{torture.memory[part]:.0f} MB after warm-up, "
            f"{torture.most[part]:.0f} MB at most"
            for part in torture.memory
        },
        **{f"not run: {name}": why for name, why in torture.skipped.items()},
        "processes, files or locks left over": f"{len(left)}",
        "breaches": f"{len(torture.breaches)}",
    }
    lines = (f"| {what} | {figure} |" for what, figure in rows.items())
    return "\n".join(("| what | figure |", "|---|---|", *lines))


def main() -> int:
    """Run it; 1 where something that must hold did not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(",")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--round", action="append", help="run this one alone, such as slow:17")
    options = parser.parse_args()
    stop_cleanly()
    planned = rounds(options.seed, options.minutes)
    if options.round:
        planned = [(one.partition(":")[0], int(one.partition(":")[2])) for one in options.round]
    print(f"Seed {options.seed}.", flush=True)
    begun = time.monotonic()
    left: list[str] = []
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        stage = OwnStage(Path(folder, "stage"))
        torture = Torture(stage, KEPT)
        if stage.no_disk:
            torture.skipped["disk"] = f"nothing can be mounted here ({stage.no_disk.strip()})"
        if not FAKETIME.exists():
            torture.skipped["clock"] = "libfaketime is not installed (Debian: libfaketime)"
        try:
            stage.start()
            torture.warm_up()
            for name, seed in planned:
                if time.monotonic() - begun > 60 * options.minutes and not options.round:
                    break
                if name not in torture.skipped:
                    torture.run(ROUNDS[name], seed)
                    at, has = time.monotonic() - begun, stage.megabytes("worker")
                    print(f"{at:5.0f} s  {name}:{seed} (worker: {has:.0f} MB)", flush=True)
            torture.check_files()
            left = stage.stop()
        finally:
            stage.close()
    torture.breaches += [f"left over: {one}" for one in left]
    for breach in torture.breaches:
        print(f"BREACH {breach}", flush=True)
    print(table(torture, (time.monotonic() - begun) / 60, left))
    return 1 if torture.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
