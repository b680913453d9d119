"""Measures what the simulation is made of: batches in the handler, and what goes beside them."""

from __future__ import annotations

import json
import multiprocessing
import resource
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from itertools import product
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import yaml

from benchmarks.fleet.times import MARKS, Layout
from benchmarks.services import Captionize
from benchmarks.tune import ARCHIVE, CONFIG

SIZES = range(1, 9)
TURNS = 4
TIMEOUT_S = 300
JAVA, PAGE = "org.pytorch.serve.ModelServer", "webui"  # words of the processes' command lines

_together: Barrier


def batches(layout: Layout, pictures: Sequence[bytes], seconds: float) -> dict[str, list[float]]:
    """Quantiles of the seconds that batches take, by size, while all workers compute.

    Each worker is a process with the shipped archive's handler, at work `seconds` for each size.
    """
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(ARCHIVE) as archive:
            archive.extractall(folder)
        with spawn.Pool(layout.workers, _join, (spawn.Barrier(layout.workers),)) as pool:
            work = (Path(folder), layout.threads, list(pictures), seconds)
            under_way = [pool.apply_async(_time, work) for _ in range(layout.workers)]
            found = [one.get(TIMEOUT_S) for one in under_way]
    every = {size: [taken for one in found for taken in one[size]] for size in SIZES}
    return {str(size): statistics.quantiles(times, n=MARKS) for size, times in every.items()}


def _join(together: Barrier) -> None:
    global _together
    _together = together


def _time(
    folder: Path, threads: int, pictures: Sequence[bytes], seconds: float
) -> dict[int, list[float]]:
    """The seconds of each batch, by size. All workers begin a size together.

    Sizes take turns, so that what slows the machine down for a while slows them all.
    """
    handle = _handler(folder, threads)
    taken: dict[int, list[float]] = {size: [] for size in SIZES}
    for number, size in product(range(TURNS), SIZES):
        _together.wait(TIMEOUT_S)
        handle(pictures[:size])
        until = time.perf_counter() + seconds / TURNS
        while time.perf_counter() < until or len(taken[size]) < 2 * (number + 1):
            first = len(taken[size]) * size % (len(pictures) - size + 1)
            started = time.perf_counter()
            handle(pictures[first : first + size])
            taken[size].append(time.perf_counter() - started)
    return taken


def _handler(folder: Path, threads: int) -> Callable[[Sequence[bytes]], None]:
    """What captions a batch as a worker does, in this process."""
    from ts.context import Context, RequestProcessor

    from handler.caption_handler import CaptionHandler

    class Counts:
        def add_counter(self, *_: Any, **__: Any) -> None:
            """Count nothing."""

    manifest = json.loads((folder / "MAR-INF" / "MANIFEST.json").read_text(encoding="utf-8"))
    config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    config["captioner"]["threads"] = threads
    context = Context("captioner", str(folder), manifest, 8, None, "", True, None, config)
    context.metrics = Counts()
    handler = CaptionHandler()
    handler.initialize(context)

    def handle(pictures: Sequence[bytes]) -> None:
        context.request_processor = [RequestProcessor({}) for _ in pictures]
        handler.handle([{"body": bytearray(one)} for one in pictures], context)
        codes = {context.get_response_status(n)[0] for n in range(len(pictures))}
        assert codes == {200}, f"a picture was not captioned: {codes}"

    return handle


def decoding(pictures: Sequence[bytes], size: int = 260) -> float:
    """Seconds of a core that decoding a picture takes, to `size` pixels."""
    from handler.decode import decode

    taken = []
    for picture in [*pictures] * 8:
        started = time.perf_counter()
        decode(picture, size)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def processor_s(service: Captionize, word: str) -> float:
    """Seconds of a core that a process of the service has taken so far.

    `word` is the whole of one of its command line's words.
    """
    found = [one for one in service.processes.children(recursive=True) if word in one.cmdline()]
    return sum(sum(one.cpu_times()[:2]) for one in found)


def children_s() -> float:
    """Seconds of a core that this process's ended children have taken, wrk among them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
