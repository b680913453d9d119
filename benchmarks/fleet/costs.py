"""What captions cost: prices of machines by the hour over what they caption."""

from __future__ import annotations

from benchmarks.fleet.times import Measured
from benchmarks.measuring import table

USE = 2 / 3  # of what a machine can do: the rest is for bursts, as the autoscaler leaves it
MONTH_H = 730.0


def million(price: float, rate: float, use: float = USE) -> float:
    """Money for a million captions: price an hour / (rate a second x 3600 x use) x 1,000,000."""
    return price / (rate * 3600 * use) * 1e6


def cost_table(measured: Measured, cpu_price: float, gpu_price: float) -> str:
    """The table of docs/cloud.md: each kind of machine at these prices."""
    header = ["machine", "captions/s", "price an hour", "a month", "a million captions"]
    rows = []
    for one in (measured.cpu(cpu_price), measured.gpu(gpu_price), measured.gpu(gpu_price, 4)):
        rows.append(
            [
                one.name,
                f"{one.capacity:.0f}",
                f"{one.price:.2f}",
                f"{one.price * MONTH_H:.0f}",
                f"{million(one.price, one.capacity):.2f}",
            ]
        )
    return table(header, rows)
