"""A service under torture, what came of it, and what is held against it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.torture.clients import Clients, Request, drawn
from tests.torture.files import FORMS
from tests.torture.kills import is_ready, wait_until_ready
from tests.torture.pictures import draw, large, options
from tests.torture.stage import BUSY_S, PARTS, Stage

KEPT_OPEN = 64  # connections between the page and TorchServe's two addresses
# That a worker may have more than after warm-up: it begins small, for it gives back what loading
# freed, and takes some of that again for the largest batches.
ALLOWED_MB = 120
LOST = ("refused", "ConnectionError", "ChunkedEncodingError")  # with a page that is killed


class Torture:
    """Rounds on a stage, and what came of them."""

    def __init__(self, stage: Stage, kept: Path, *, short: bool = False) -> None:
        self.stage = stage
        self.rehearsals = 1 if short else 2
        self.pictures_s, self.kills_at_once, self.slow = (2, 1, 20) if short else (15, 3, 200)
        self.kept = kept  # a folder for pictures that were answered wrongly
        self.answers: Counter[str] = Counter()  # to sound pictures
        self.mutated: Counter[str] = Counter()
        self.lost = 0  # requests whose connection broke as the page was killed
        self.kills: Counter[str] = Counter()
        self.back_s: dict[str, float] = {}  # the longest until captions came again, by what died
        self.longest_s = 0.0
        self.counts: Counter[str] = Counter()  # of what else was done
        self.breaches: list[str] = []
        self.skipped: dict[str, str] = {}  # rounds that cannot be run here, and why

    def run(self, action: Callable[[Torture, random.Random], None], seed: int) -> None:
        """One round."""
        name = action.__name__
        before = len(self.breaches)
        try:
            action(self, random.Random(seed))
            wait_until_ready(self.stage.url)
            self.check_memory()
        except (AssertionError, ValueError, LookupError, OSError) as error:
            self.breaches.append(f"{type(error).__name__}: {error}")
        self.breaches[before:] = [f"{name}:{seed}: {one}" for one in self.breaches[before:]]
        self.counts[f"rounds of {name}"] += 1

    def warm_up(self) -> None:
        """Have the worker meet every format, every option and a crowd, and note what it needs."""
        rng = random.Random(1)
        sound = [draw(rng, kind) for kind in FORMS for _ in range(3)]
        sound += [large(kind) for kind in ("JPEG", "PNG", "WEBP", "GIF")]
        each = [
            Request(picture, options(rng), rng.random() < 0.3)
            for picture in sound * self.rehearsals
        ]
        with self.clients(8, lambda client: iter(each)) as clients:
            for thread in clients.threads:
                thread.join()
        self.stage.quiet()
        self.memory = {part: self.stage.megabytes(part) for part in PARTS}
        self.most = dict(self.memory)
        self.files = self.stage.files()

    def check_memory(self) -> None:
        """Compare the worker's memory with that after warm-up."""
        for part in self.memory:
            self.most[part] = max(self.most[part], self.stage.megabytes(part))
        more = self.stage.megabytes("worker") - self.memory["worker"]
        if more > ALLOWED_MB:
            self.breaches.append(f"the worker has {more:.0f} MB more than after warm-up")

    def check_files(self) -> None:
        """Compare the open files of each part with those after warm-up."""
        self.stage.quiet()
        for what, count in self.stage.files().items():
            more = KEPT_OPEN if what.startswith("connections") else 4
            if count > self.files[what] + more:
                self.breaches.append(f"{what}: {count} are open, {self.files[what]} before")

    @contextmanager
    def clients(
        self, count: int, requests: Callable[[int], Iterator[Request]], *, breaking: bool = False
    ) -> Iterator[Clients]:
        """Clients whose answers are checked; `breaking`: connections may break."""
        clients = Clients(self.stage.url, count, requests)
        try:
            with clients:
                yield clients
        finally:
            for who, answer, sent in clients.problems:
                if breaking and answer.said in LOST:
                    self.lost += 1
                    continue
                self.kept.mkdir(parents=True, exist_ok=True)
                file = self.kept / f"{len(self.breaches)}.{sent.picture.kind.lower()}"
                file.write_bytes(sent.picture.data)
                how = {**sent.options, "explain": sent.explain}
                self.breaches.append(f"{who}: {answer.said}: {answer.problem} ({file}, {how})")
            self.longest_s = max(self.longest_s, clients.longest)
            self.mutated.update(clients.mutated)
            self.answers.update({a: n for a, n in clients.answers.items() if a not in LOST})

    @contextmanager
    def load(self, rng: random.Random, count: int = 4, **how: bool) -> Iterator[Clients]:
        """Clients with sound pictures and any options."""
        sound = [draw(rng) for _ in range(12)]
        seeds = [rng.randrange(2**32) for _ in range(count)]
        requests = lambda client: drawn(sound, random.Random(seeds[client]))  # noqa: E731
        with self.clients(count, requests, **how) as clients:
            wait(lambda: clients.answers["200"] >= 2 * count)
            yield clients
            after = clients.answers["200"] + 2 * count
            wait(lambda: clients.answers["200"] >= after)

    def kill(self, part: str) -> None:
        """Kill a part, and wait until captions can come again."""
        process = self.stage.process(part)
        begun = time.monotonic()
        os.kill(process.pid, signal.SIGKILL)
        self.kills[part] += 1
        process.wait(30)
        wait(lambda: is_ready(self.stage.url) and self.stage.process(part).pid != process.pid)
        self.back_s[part] = max(self.back_s.get(part, 0), time.monotonic() - begun)


def wait(condition: Callable[[], bool], seconds: float = BUSY_S) -> None:
    """Wait until `condition()`, which may not be known for a while."""
    give_up = time.monotonic() + seconds
    while True:
        with contextlib.suppress(LookupError, ValueError):  # a part that is away
            if condition():
                return
        if time.monotonic() > give_up:
            raise TimeoutError(f"captions did not come again within {seconds:g} s")
        time.sleep(0.05)
