"""What a fleet would do under load, on paper: ``python -m benchmarks.fleet``.

Prints waits, refusals and cost of replicas on CPUs (measured) and GPUs (assumed) up to 10,000
captions a second, and what limits them first. ``--validate`` measures the real service, and
compares; it takes five minutes, a machine that does nothing else, and ``wrk``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.fleet import validation
from benchmarks.fleet.costs import cost_table
from benchmarks.fleet.scaling import scaling_report
from benchmarks.fleet.times import Measured
from benchmarks.services import BenchmarkError

RATES = (10, 100, 1000, 10_000)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 1 where the simulation does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--rate", type=float, nargs="+", default=RATES, help="captions a second")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--cpu-price", type=float, default=0.10, help="of two cores, an hour")
    parser.add_argument("--gpu-price", type=float, default=0.80, help="of a GPU, an hour")
    parser.add_argument(
        "--cost", action="store_true", help="print the table of docs/cloud.md alone"
    )
    parser.add_argument("--validate", action="store_true", help="against the real service")
    parser.add_argument("--seconds", type=float, default=4, help="of each load (default: 4)")
    parser.add_argument("--save", action="store_true", help="keep what --validate measures")
    given = parser.parse_args(argv)
    if given.validate:
        try:
            measured, found = validation.validate(given.seconds)
        except BenchmarkError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        if given.save:
            measured.write()
        print(validation.report(measured, found))
        return 0 if all(one.holds for one in found) else 1
    measured = Measured.read()
    prices = given.cpu_price, given.gpu_price
    if given.cost:
        print(cost_table(measured, *prices))
    else:
        print(scaling_report(measured, given.rate, *prices, given.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
