"""How TorchServe is to run an adopted model: by its measured speed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from handler.engines import Engine, Search
from handler.options import Options

BATCH_S = 4.0  # seconds that a batch may take
WAIT_S = 20.0  # seconds that a request may wait for those before it: the page waits for 30
BATCH = 8
SLOWEST = 20  # times slower that a machine may be before its worker counts as dead


@dataclass(frozen=True)
class Speed:
    """Seconds that a picture takes."""

    alone: float
    in_batch: float  # in a batch of `batch` pictures
    batch: int


def measure(engine: Engine, image_size: int) -> Speed:
    """Time an engine on pictures of noise with the options that are the default.

    The batch is as large as can be captioned within ``BATCH_S``.
    """
    options = Options()
    search = Search(options.beam_size, options.max_length, options.num_captions)
    chance = torch.Generator().manual_seed(0)
    shape = (BATCH, 3, image_size, image_size)
    images = torch.randint(0, 256, shape, generator=chance, dtype=torch.uint8)

    def seconds(count: int) -> float:
        engine(images[:count], search)  # the first call of a size is slow
        start = time.perf_counter()
        engine(images[:count], search)
        return time.perf_counter() - start

    alone = seconds(1)
    batch = max(1, min(BATCH, int(BATCH_S / alone)))
    return Speed(alone, seconds(batch) / batch if batch > 1 else alone, batch)


def write_config(template: Path, speed: Speed, path: Path) -> None:
    """Write TorchServe's configuration of a model: the handler's own, fitted to its speed."""
    config: dict[str, Any] = yaml.safe_load(template.read_text(encoding="utf-8"))
    batch_s = speed.batch * speed.in_batch
    config["batchSize"] = speed.batch
    # Who comes when the queue is full is refused at once, instead of waiting in vain.
    config["jobQueueSize"] = max(speed.batch, int(WAIT_S / speed.in_batch))
    config["responseTimeout"] = max(config["responseTimeout"], int(SLOWEST * batch_s))
    config["captioner"]["warm_up"] = sorted({1, speed.batch})
    head = (
        f"# Written when the model was adopted; it took {speed.alone:.2f} s for a picture, and "
        f"{speed.in_batch:.2f} s in batches of {speed.batch}.\n"
        "# handler/model-config.yaml in this archive explains each setting.\n"
    )
    path.write_text(head + yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
