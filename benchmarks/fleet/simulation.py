"""Requests, replicas and what scales them, as events in simulated time (SimPy).

A replica is a page, TorchServe's queue and its workers. A worker takes the first request that
waits and, until its batch is full or the delay is over, those that follow; one worker gathers at a
time, as TorchServe's do. Beyond the queue's places a request is refused at once. Times are in
seconds.
"""

from __future__ import annotations

import random
from array import array
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

BatchSeconds = Callable[[int, random.Random], float]  # of a batch of so many pictures
Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Machine:
    """What one replica is, and how it is set."""

    name: str
    batch_s: BatchSeconds
    workers: int = 1
    batch_size: int = 8
    delay_s: float = 0.001  # that the first of a batch waits for others
    places: float = 64  # of the queue
    page_s: float = 0.0  # of the page's one process, a picture
    price: float = 0.0  # an hour

    def stages(self) -> dict[str, float]:
        """Captions a second that each part could make at most, if it were alone."""
        rng = random.Random(0)  # nosec B311 # not secret
        full = sum(self.batch_s(self.batch_size, rng) for _ in range(200)) / 200
        page = {"page": 1 / self.page_s} if self.page_s else {}
        return {**page, "workers": self.workers * self.batch_size / full}

    @property
    def capacity(self) -> float:
        """Captions a second, as its slowest part makes them."""
        return min(self.stages().values())


@dataclass(slots=True)
class Request:
    """A picture under way."""

    at: float
    answered: simpy.Event | None = None  # for a client who waits


@dataclass
class Tally:
    """What became of requests."""

    arrived: int = 0
    refused: int = 0  # 503: the queue was full, or no replica was there
    failed: int = 0  # lost with their replica
    seconds: array[float] = field(default_factory=lambda: array("d"))  # of each caption

    @property
    def captioned(self) -> int:
        """Answered with a caption."""
        return len(self.seconds)

    def percentile(self, share: float) -> float:
        """The seconds within which this share of the captions came; nan where there are none."""
        ordered = sorted(self.seconds)
        return (
            ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")
        )


class Replica:
    """A page, a queue and workers."""

    def __init__(
        self, env: simpy.Environment, machine: Machine, tally: Tally, rng: random.Random
    ) -> None:
        self.env, self.machine, self.tally, self.rng = env, machine, tally, rng
        self.waiting: deque[Request] = deque()
        self.held = 0  # requests taken and not answered
        self.alive = True
        self._page_free = 0.0
        self._arrival: simpy.Event | None = None  # what a worker waits for
        self._turn = simpy.Resource(env, 1)  # to gather a batch
        for _ in range(machine.workers):
            env.process(self._work())

    def take(self, request: Request) -> None:
        """Have the page read a request, and pass it on."""
        self.held += 1
        if not self.machine.page_s:
            self._queue(request)
            return
        self._page_free = max(self._page_free, self.env.now) + self.machine.page_s
        read = self.env.timeout(self._page_free - self.env.now)
        read.callbacks.append(lambda _: self._queue(request))

    def die(self) -> None:
        """Lose all that is held."""
        self.alive = False
        self.tally.failed += self.held

    def _queue(self, request: Request) -> None:
        if not self.alive:
            return
        if len(self.waiting) >= self.machine.places:
            self.tally.refused += 1
            self._answer(request)
            return
        self.waiting.append(request)
        if self._arrival and not self._arrival.triggered:
            self._arrival.succeed()

    def _answer(self, request: Request) -> None:
        self.held -= 1
        if request.answered:
            request.answered.succeed()

    def _work(self) -> Process:
        while self.alive:
            batch: list[Request] = []
            with self._turn.request() as turn:
                yield turn
                yield from self._gather(batch)
            yield self.env.timeout(self.machine.batch_s(len(batch), self.rng))
            if self.alive:
                for request in batch:
                    self.tally.seconds.append(self.env.now - request.at)
                    self._answer(request)

    def _gather(self, batch: list[Request]) -> Process:
        while not self.waiting:
            self._arrival = self.env.event()
            yield self._arrival
        batch.append(self.waiting.popleft())
        # TorchServe counts what is left of the delay in whole milliseconds of the clock.
        left, began = self.machine.delay_s, self._tick()
        while len(batch) < self.machine.batch_size and left > 0:
            if not self.waiting:
                self._arrival = self.env.event()
                yield self._arrival | self.env.timeout(left)
                if not self.waiting:
                    break
            batch.append(self.waiting.popleft())
            left, began = left - (self._tick() - began) / 1000, self._tick()

    def _tick(self) -> int:
        return int(self.env.now * 1000)
