"""How TorchServe is to run an adopted model: by its measured speed."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from handler.engines import Engine, OnnxEngine, Search, TorchScriptEngine, read_module
from handler.options import Options
from training.adoption.precision import without_graph
from training.packaging.exporting import save_exported

logger = logging.getLogger(__name__)

BATCH_S = 4.0  # seconds that a batch may take
WAIT_S = 20.0  # seconds that a request may wait for those before it: the page waits for 30
BATCH, QUEUE = 8, 64  # pictures at most
SLOWEST = 20  # times slower that a machine may be before its worker counts as dead


@dataclass(frozen=True)
class Speed:
    """Seconds that a picture takes."""

    alone: float
    in_batch: float  # in a batch of `batch` pictures
    batch: int

    def __str__(self) -> str:
        return f"{self.alone:.2f} alone and {self.in_batch:.2f} in batches of {self.batch}"


def fastest(module: Path, images: Tensor) -> tuple[str, Speed]:
    """The engine to be set for a module, and its speed on a CPU.

    A graph of float32 that is no faster than PyTorch is taken out of the module's file.
    """
    cpu = torch.device("cpu")
    exported = read_module(module, cpu)
    if not exported.graph:
        return TorchScriptEngine.name, measure(TorchScriptEngine(exported, cpu), images)
    engine: Engine = OnnxEngine(exported)
    speed = measure(engine, images)
    if engine.precision == "float32":
        del engine
        other = measure(TorchScriptEngine(exported, cpu), images)
        logger.info("Seconds of a picture: %s with ONNX Runtime, %s with PyTorch.", speed, other)
        if other.alone + other.in_batch < speed.alone + speed.in_batch:
            save_exported(without_graph(read_module(module, cpu)), module)
            return TorchScriptEngine.name, other
    return "auto", speed


def measure(engine: Engine, images: Tensor) -> Speed:
    """Time an engine with the options that are the default.

    The batch is as large as can be captioned within ``BATCH_S``.
    """
    options = Options()
    search = Search(options.beam_size, options.max_length, options.num_captions)
    images = images.repeat(-(-BATCH // len(images)), 1, 1, 1)

    def seconds(count: int) -> float:
        engine(images[:count], search)  # the first call of a size is slow
        start = time.perf_counter()
        engine(images[:count], search)
        return time.perf_counter() - start

    alone = seconds(1)
    batch = max(1, min(BATCH, int(BATCH_S / alone)))
    return Speed(alone, seconds(batch) / batch if batch > 1 else alone, batch)


def write_config(template: Path, engine: str, speed: Speed, path: Path) -> None:
    """Write TorchServe's configuration of a model: the handler's own, fitted to its speed."""
    config: dict[str, Any] = yaml.safe_load(template.read_text(encoding="utf-8"))
    batch_s = speed.batch * speed.in_batch
    config["batchSize"] = speed.batch
    # Who comes when the queue is full is refused at once, instead of waiting in vain.
    config["jobQueueSize"] = max(speed.batch, min(QUEUE, int(WAIT_S / speed.in_batch)))
    config["responseTimeout"] = max(config["responseTimeout"], int(SLOWEST * batch_s))
    config["captioner"]["engine"] = engine
    config["captioner"]["warm_up"] = sorted({1, speed.batch})
    head = (
        f"# Written when the model was adopted; it took {speed.alone:.2f} s for a picture, and "
        f"{speed.in_batch:.2f} s in batches of {speed.batch}.\n"
        "# handler/model-config.yaml in this archive explains each setting.\n"
    )
    path.write_text(head + yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
