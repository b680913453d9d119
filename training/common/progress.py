"""Progress for people and for logs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 30.0

logger = logging.getLogger(__name__)


def progress(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Yield ``items`` while showing how many of ``total`` are done."""
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, leave=False)
        return
    started = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            rate = done / (last - started)
            left = timedelta(seconds=round((total - done) / rate))
            logger.info("%s: %d of %d, %.1f/s, %s left", what, done, total, rate, left)


def set_up_logging() -> None:
    """Plain messages on standard error, for the command-line programs."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
