"""A fleet under load that comes in bursts, with an autoscaler and with replicas that die."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import simpy

from benchmarks.fleet.simulation import Machine, Process, Replica, Request, Tally


@dataclass(frozen=True)
class Arrivals:
    """A Poisson process whose rate is higher for a while, now and then."""

    rate: float  # captions a second, on average
    burst: float = 2.0  # times the rate between bursts
    burst_s: float = 20.0  # mean length of a burst
    calm_s: float = 60.0  # mean length of the time between

    def phases(self, rng: random.Random) -> Iterator[tuple[float, float]]:
        """Rates and for how long, beginning between bursts."""
        share = self.burst_s / (self.burst_s + self.calm_s)
        calm = self.rate / (1 + share * (self.burst - 1))
        while True:
            yield calm, rng.expovariate(1 / self.calm_s)
            yield calm * self.burst, rng.expovariate(1 / self.burst_s)


@dataclass(frozen=True)
class Autoscaler:
    """As deploy/kubernetes/autoscaling sets it, but for what `share` and `most` allow."""

    load: float  # captions a second for each replica
    waiting: int = 8  # requests that wait, for each replica
    every_s: float = 15.0
    window_s: float = 60.0  # over which the rate is taken
    up: int = 2  # replicas a minute at most
    share: float = 0.0  # or this share of those that are there, if it is more
    calm_s: float = 300.0  # before one goes; then one a minute
    ready_s: float = 45.0  # from the decision until a replica captions
    most: int = 10_000

    def allowed(self, count: int) -> int:
        """Replicas that may come within a minute."""
        return max(self.up, int(self.share * count))


@dataclass(frozen=True)
class Scenario:
    """What is simulated."""

    machine: Machine
    arrivals: Arrivals
    scaler: Autoscaler
    seconds: float = 600.0
    mtbf_s: float = 86_400.0  # mean time between a replica's failures
    choices: int = 1  # replicas of which the least busy gets a request; 1: any, as a Service does
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    tally: Tally
    left: int  # requests under way at the end
    replica_s: float  # paid for, starting included
    most: int  # replicas at a time
    seconds: float
    price: float  # of a replica, an hour

    @property
    def hourly(self) -> float:
        """Money an hour."""
        return self.price * self.replica_s / self.seconds

    @property
    def million(self) -> float:
        """Money for a million captions."""
        return self.price * self.replica_s / 3600 / max(self.tally.captioned, 1) * 1e6


class Fleet:
    """Replicas, and who sends to them, adds to them and takes them away."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.env = simpy.Environment()
        self.rng = random.Random(scenario.seed)  # nosec B311 # not secret
        self.tally = Tally()
        self.replicas: list[Replica] = []  # that caption
        self.draining: list[Replica] = []
        self.starting = 0
        self.paid = 0.0  # replica-seconds
        self.most = 0
        self._since = 0.0
        self._calm: deque[int] = deque(
            maxlen=max(int(scenario.scaler.calm_s / scenario.scaler.every_s), 1)
        )

    def run(self) -> Outcome:
        """Simulate, from as many replicas as the mean load needs."""
        one = self.scenario
        for _ in range(max(math.ceil(one.arrivals.rate / one.scaler.load), 1)):
            self._add()
        for process in (self._arrive(), self._scale()):
            self.env.process(process)
        self.env.run(until=one.seconds)
        self._pay()
        left = sum(replica.held for replica in (*self.replicas, *self.draining))
        return Outcome(self.tally, left, self.paid, self.most, one.seconds, one.machine.price)

    def send(self) -> None:
        """A request arrives at the load balancer."""
        self.tally.arrived += 1
        if not self.replicas:
            self.tally.refused += 1
            return
        some = [self.rng.choice(self.replicas) for _ in range(self.scenario.choices)]
        min(some, key=lambda replica: replica.held).take(Request(self.env.now))

    def _arrive(self) -> Process:
        # The same bursts, whatever the load and the machines.
        bursts = random.Random(self.scenario.seed)  # nosec B311 # not secret
        for rate, length in self.scenario.arrivals.phases(bursts):
            until = self.env.now + length
            while (gap := self.rng.expovariate(rate)) < until - self.env.now:
                yield self.env.timeout(gap)
                self.send()
            yield self.env.timeout(max(until - self.env.now, 0))

    def _pay(self) -> None:
        """Count what was there since the last change."""
        there = len(self.replicas) + self.starting
        self.paid += there * (self.env.now - self._since)
        self._since = self.env.now
        self.most = max(self.most, there)

    def _add(self) -> None:
        replica = Replica(self.env, self.scenario.machine, self.tally, self.rng)
        self.replicas.append(replica)
        self.env.process(self._fail(replica))

    def _start(self) -> Process:
        self._pay()
        self.starting += 1
        yield self.env.timeout(self.scenario.scaler.ready_s)
        self._pay()
        self.starting -= 1
        self._add()

    def _fail(self, replica: Replica) -> Process:
        """Let it die, and another one take its place."""
        yield self.env.timeout(self.rng.expovariate(1 / self.scenario.mtbf_s))
        if replica in self.replicas:
            self._pay()
            self.replicas.remove(replica)
            replica.die()
            self.env.process(self._start())

    def _scale(self) -> Process:
        scaler = self.scenario.scaler
        counts: deque[int] = deque([0], maxlen=int(scaler.window_s / scaler.every_s) + 1)
        ups: deque[float] = deque()  # when replicas were added
        down = 0.0  # when one was taken away
        while True:
            yield self.env.timeout(scaler.every_s)
            counts.append(self.tally.captioned)
            rate = (counts[-1] - counts[0]) / (scaler.every_s * (len(counts) - 1))
            waiting = sum(len(replica.waiting) for replica in self.replicas)
            wanted = max(math.ceil(rate / scaler.load), math.ceil(waiting / scaler.waiting), 1)
            self._calm.append(wanted)
            there = len(self.replicas) + self.starting
            while ups and ups[0] <= self.env.now - 60:
                ups.popleft()
            more = min(wanted, scaler.most) - there
            for _ in range(min(more, scaler.allowed(there) - len(ups))):
                ups.append(self.env.now)
                self.env.process(self._start())
            full = len(self._calm) == self._calm.maxlen
            if full and max(self._calm) < there and self.env.now - down >= 60 and self.replicas:
                down = self.env.now
                self._pay()
                self.draining.append(self.replicas.pop())
