"""Captioners without a server: what serving is measured against."""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers.models import eager
from benchmarks.services import ROOT
from handler.captioner import Captioner
from handler.decode import decode
from handler.engines import Beams, Search
from handler.sessions import open_session
from training.model.encoders import build_encoder
from training.packaging.onnx_graph import VARIES

SEARCH = Search(beam_size=3, max_length=20, num_captions=3)  # what a request gets by default
OLDER = "0d910e2:model_store/captioner.mar"  # version 1.1, as it was served last
PEAK_SIZE = 2048  # of the matrices that show how fast the cores multiply


class InProcess:
    """The shipped captioner in this process, by both engines, and what came before it.

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
        self.older = older()
        self.encoder = encoder_alone(self.captioner.image_size)
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

    def encoder_rate(self, batch: int = 8, seconds: float = 3) -> float:
        """Pictures per second of the yardstick, which never changes: see ``encoder_alone``."""
        batches = self.pixels.split(batch)[: len(self.pixels) // batch]
        work = [partial(self.encoder.run, None, {"images": b.numpy()}) for b in batches]
        return batch / seconds_of(work, seconds)

    def core_ms(self, batch: int = 8) -> float:
        """Milliseconds of a core that the captioner takes for a picture."""
        batches = self.pixels.split(batch)[: len(self.pixels) // batch]
        started, count = time.process_time(), 0
        for one in batches * 4:
            self.captioner(one, SEARCH)
            count += len(one)
        return 1e3 * (time.process_time() - started) / count

    def beam_rate(self, beam_size: int, batch: int = 8) -> float:
        """The same for one caption out of another number of beams."""
        search = SEARCH._replace(beam_size=beam_size, num_captions=1)
        return batch / seconds_of([partial(self.captioner, self.pixels[:batch], search)], 2)

    def whole(self, pictures: Sequence[bytes], captioner: Captioner | None = None) -> Beams:
        """Caption JPEGs as they come."""
        return (captioner or self.captioner)(self.decode(pictures), SEARCH)

    def whole_rate(self, batch: int = 8, seconds: float = 4) -> float:
        """Captions per second of large JPEGs, decoding included."""
        last = len(self.large) - batch
        work = [partial(self.whole, self.large[i : i + batch]) for i in range(0, last + 1, batch)]
        return batch / seconds_of(work, seconds)

    def alone_ms(self, captioner: Captioner, seconds: float = 3) -> float:
        """Milliseconds from a small JPEG's bytes to its captions."""
        work = [partial(self.whole, [picture], captioner) for picture in self.small]
        return 1e3 * seconds_of(work, seconds)

    def gflop(self) -> float:
        """Billions of floating-point operations for a picture, on average, search included."""
        captioner, _ = eager()
        counter = FlopCounterMode(display=False)
        with torch.inference_mode(), counter:
            captioner(self.pixels, SEARCH.beam_size, SEARCH.max_length, False, SEARCH.num_captions)
        return counter.get_total_flops() / len(self.pixels) / 1e9


def older() -> Captioner | None:
    """Version 1.1, in float32, out of the repository's history; None where there is none."""
    shown = subprocess.run(  # nosec B607 # the git of whoever measures
        ["git", "show", OLDER], cwd=ROOT, capture_output=True, check=False
    )
    if shown.returncode:
        print(f"Version 1.1 is not compared: git show {OLDER} fails", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(io.BytesIO(shown.stdout)) as file:
            file.extractall(folder, ["captioner.pt", "vocab.json"])
        files = Path(folder, "captioner.pt"), Path(folder, "vocab.json")
        return Captioner(*files, torch.device("cpu"))


def encoder_alone(size: int) -> Any:
    """The encoder of version 1.1, with drawn weights, as a session of ONNX Runtime: what a service
    in float32 could do at most."""
    torch.manual_seed(0)
    encoder = build_encoder("efficientnet_lite2", pretrained=False, image_size=size).eval()
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    graph = torch.onnx.export(
        encoder, (images,), input_names=["images"], dynamic_shapes=({0: VARIES},), verbose=False
    )
    assert graph is not None
    return open_session(graph.model_proto.SerializeToString(), {})


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
