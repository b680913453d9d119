"""The gate that captions pass on their way to TorchServe, shut while workers are taken away.

TorchServe 0.12 loses pictures then, and tells nobody: those that a worker has taken from the queue
for a batch that is not complete yet, and those that wait for a version that is unregistered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

MOST_S = 10.0  # that the captions under way are waited for


class Gate:
    """Counts who is inside, and waits until nobody is."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._shut = 0  # by so many

    @contextmanager
    def passing(self, give_up: float) -> Iterator[float]:
        """Be inside, once the gate is open; gives the seconds until ``give_up``, above 0."""
        with self._changed:
            self._changed.wait_for(lambda: not self._shut, give_up - time.monotonic())
            self._inside += 1
        try:
            yield max(give_up - time.monotonic(), 0.001)
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Let nobody in, and wait until those inside have left, or for ``MOST_S``."""
        with self._changed:
            self._shut += 1
            self._changed.wait_for(lambda: not self._inside, MOST_S)
        try:
            yield
        finally:
            with self._changed:
                self._shut -= 1
                self._changed.notify_all()
