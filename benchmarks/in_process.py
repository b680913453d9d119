"""The shipped captioner without a server: what serving is measured against."""

from __future__ import annotations

import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers.models import eager
from benchmarks.services import ROOT
from handler.captioner import Captioner
from handler.decode import decode
from handler.engines import Beams, Search

SEARCH = Search(beam_size=3, max_length=20, num_captions=3)  # what a request gets by default
PEAK_SIZE = 2048  # of the matrices that show how fast the cores multiply


class InProcess:
    """The shipped captioner in this process, by both engines.

    Args:
        small, large: JPEG files of two sizes.
    """

    def __init__(self, small: Sequence[Path], large: Sequence[Path]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            with zipfile.ZipFile(ROOT / "model_store" / "captioner.mar") as file:
                file.extractall(folder, ["captioner.pt", "vocab.json"])
            files = Path(folder, "captioner.pt"), Path(folder, "vocab.json"), torch.device("cpu")
            self.captioner = Captioner(*files)
            self.torchscript = Captioner(*files, engine="torchscript")
        self.small = [path.read_bytes() for path in small]
        self.large = [path.read_bytes() for path in large]
        self.pool = ThreadPoolExecutor(2)  # as the handler's
        self.pixels = self.decode(self.small)

    def decode(self, pictures: Sequence[bytes]) -> torch.Tensor:
        """The pixels of JPEGs, ``[B, 3, S, S]``."""
        size = self.captioner.image_size
        return torch.stack([p.pixels for p in self.pool.map(lambda b: decode(b, size), pictures)])

    def rate(self, captioner: Captioner, batch: int, seconds: float = 3) -> float:
        """Captions per second of decoded pictures in batches."""
        batches = self.pixels.split(batch)[: len(self.pixels) // batch]
        return batch / seconds_of([partial(captioner, b, SEARCH) for b in batches], seconds)

    def beam_rate(self, beam_size: int, batch: int = 8) -> float:
        """The same for one caption out of another number of beams."""
        search = SEARCH._replace(beam_size=beam_size, num_captions=1)
        return batch / seconds_of([partial(self.captioner, self.pixels[:batch], search)], 2)

    def whole(self, pictures: Sequence[bytes]) -> Beams:
        """Caption JPEGs as they come."""
        return self.captioner(self.decode(pictures), SEARCH)

    def whole_rate(self, batch: int = 8, seconds: float = 4) -> float:
        """Captions per second of large JPEGs, decoding included."""
        last = len(self.large) - batch
        work = [partial(self.whole, self.large[i : i + batch]) for i in range(0, last + 1, batch)]
        return batch / seconds_of(work, seconds)

    def alone_ms(self, seconds: float = 3) -> float:
        """Milliseconds from a small JPEG's bytes to its captions."""
        work = [partial(self.whole, [picture]) for picture in self.small]
        return 1e3 * seconds_of(work, seconds)

    def gflop(self) -> float:
        """Billions of floating-point operations for a picture, on average, search included."""
        captioner, _ = eager()
        counter = FlopCounterMode(display=False)
        with torch.inference_mode(), counter:
            captioner(self.pixels, SEARCH.beam_size, SEARCH.max_length, False, SEARCH.num_captions)
        return counter.get_total_flops() / len(self.pixels) / 1e9


def peak_gflops() -> float:
    """Billions of operations a second that all cores reach in multiplying float32 matrices."""
    one, other = torch.rand(2, PEAK_SIZE, PEAK_SIZE)
    return 2 * PEAK_SIZE**3 / seconds_of([partial(torch.mm, one, other)], 2) / 1e9


def seconds_of(work: Sequence[Callable[[], object]], seconds: float) -> float:
    """The median time of the pieces of work, in turn, for about ``seconds``."""
    taken: list[float] = []
    work[0]()
    while sum(taken) < seconds:
        started = time.perf_counter()
        work[len(taken) % len(work)]()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
