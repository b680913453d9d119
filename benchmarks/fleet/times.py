"""How long a batch takes: measured on this machine's processor, assumed for a GPU."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.fleet.simulation import Machine

FILE = Path(__file__).with_name("measured.json")
MARKS = 20  # quantiles that a size's durations are kept as, less one
# Assumed, not measured: a batch on a GPU of the middle class, decoding apart. A step of the search
# costs the launch of its kernels, whatever the batch; a picture's arithmetic is 2.1 GFLOP.
GPU_BATCH_S, GPU_PICTURE_S = 0.015, 0.0004
GPU_BATCH_SIZE = 32
DECODERS = 2  # decode_threads in handler/model-config.yaml


@dataclass(frozen=True)
class Layout:
    """Workers on a machine, and threads of each."""

    workers: int
    threads: int

    def __str__(self) -> str:
        return f"{self.workers} x {self.threads}"


@dataclass(frozen=True)
class Measured:
    """What `--validate --save` measured. Times are in seconds.

    `batches` has, by layout and size, quantiles of the time from a batch's bytes to its answers in
    the handler, with as many handlers at once as there are workers.
    """

    machine: str
    cores: int
    batches: Mapping[str, Mapping[str, list[float]]]
    overhead_s: float  # of a batch: TorchServe and the sockets, beside the handler
    java_s: float  # of a core, a picture
    client_s: float  # of a core, a picture: what the load itself takes
    page_s: float  # of a core, a picture
    decode_s: float  # of a core, a picture
    picture_bytes: int

    @classmethod
    def read(cls, path: Path = FILE) -> Measured:
        """Read what was saved."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path = FILE) -> None:
        """Save it."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def batch_s(self, layout: Layout, beside_s: float, rng: random.Random, size: int) -> float:
        """The time of one batch, drawn from those that were measured.

        `beside_s` is what else each picture takes of a core: where all cores compute, it comes on
        top of the handler's time.
        """
        full = layout.workers * layout.threads >= self.cores
        drawn = rng.choice(self.batches[str(layout)][str(size)])
        return drawn + self.overhead_s + (size * beside_s if full else 0.0)

    def machine_of(self, layout: Layout, beside_s: float, **settings: float) -> Machine:
        """A replica on such a machine."""

        def batch_s(size: int, rng: random.Random) -> float:
            return self.batch_s(layout, beside_s, rng, size)

        return Machine(f"CPU, {layout}", batch_s, layout.workers, **settings)  # type: ignore[arg-type]

    def cpu(self, price: float) -> Machine:
        """A replica as it is deployed: one worker on all cores, behind its page."""
        layout = Layout(1, self.cores)
        beside_s = self.java_s + self.page_s
        return self.machine_of(layout, beside_s, page_s=self.page_s, price=price)

    def gpu(self, price: float, pages: int = 1) -> Machine:
        """A replica on a GPU (assumed), with cores enough; its page and decoding as measured here.

        `pages`: processes that the page would need; today it is one.
        """
        picture_s = GPU_PICTURE_S + self.decode_s / DECODERS

        def batch_s(size: int, rng: random.Random) -> float:
            return GPU_BATCH_S + self.overhead_s + size * picture_s

        name = "GPU (assumed)" if pages == 1 else f"GPU (assumed), {pages} pages"
        page_s = self.page_s / pages
        return Machine(name, batch_s, batch_size=GPU_BATCH_SIZE, page_s=page_s, price=price)
