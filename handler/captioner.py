"""The exported captioner, loaded: its properties, and the engine that runs it."""

import ctypes
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from handler.decode import Fit
from handler.engines import Beams, Engine, Search, load_engine, read_module
from handler.options import Options
from handler.text import EOS, read_words

_LARGE = 100e6  # bytes of a module whose memory is checked
_CGROUP = Path("/sys/fs/cgroup")
_BESIDE = 500e6  # bytes that a large module needs beside its weights


class Trust(NamedTuple):
    """The confidences from which on a caption is trusted, as the model card has them."""

    right: float  # it can be expected to be right
    check: float  # the picture looks like a photo that the model knows

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> "Trust | None":
        """Read the thresholds of a model card; None where it has none."""
        thresholds = card.get("trust")
        return cls(thresholds["right"], thresholds["check"]) if thresholds else None

    def level(self, confidence: float) -> str:
        """Say in a word how far a caption of this confidence can be trusted."""
        if confidence >= self.right:
            return "right"
        return "check" if confidence >= self.check else "unknown"


class Captioner:
    """An exported captioner on its device, with its vocabulary."""

    engine: Engine

    def __init__(
        self,
        module: Path,
        vocabulary: Path,
        device: torch.device,
        engine: str = "auto",
        threads: int = 0,
        card: Mapping[str, Any] | None = None,
        precision: str = "auto",
    ) -> None:
        """Load the files of one model.

        Args:
            vocabulary: `vocab.json`, or the `tokenizer.json` of an adopted model.
            engine: one of `ENGINES`.
            threads: of an engine that is not PyTorch's own; 0: as many as PyTorch uses.
            card: the model card, for how far a confidence can be trusted.
            precision: on a CPU, one of `PRECISIONS`.

        Raises:
            ValueError: the vocabulary is invalid or not the module's, or there is no such engine
                for this module on this device.
            MemoryError: the module is large, and there is too little memory for it.
        """
        check_memory(module.stat().st_size)
        exported = read_module(module, device)
        script = exported.script
        self.device = device
        self.image_size = int(script.image_size)
        self.grid_rows = int(script.grid_rows)
        self.grid_columns = int(script.grid_columns)
        self.fit = Fit(*(getattr(script, name, value) for name, value in asdict(Fit()).items()))
        self.words = read_words(vocabulary, int(getattr(script, "end", EOS)))
        self.vocabulary = self.words.names
        if not self.words.fit(script.vocab_size):
            raise ValueError(
                f"{vocabulary.name} has {len(self.vocabulary)} tokens, but {module.name} has "
                f"{script.vocab_size}: they belong to different models"
            )
        calibration = getattr(script, "calibration", None)
        self.calibrated = calibration is not None and bool(calibration.fitted)
        # Of each token, whether it is a content word; empty where the model does not tell.
        content = getattr(calibration, "content", None) if self.calibrated else None
        self.content = [] if content is None else content.bool().tolist()
        self.trust = Trust.of(card or {}) if self.calibrated else None
        self.engine = load_engine(exported, engine, device, threads, precision)
        del exported, script
        give_back_memory()

    def __call__(self, images: torch.Tensor, search: Search) -> Beams:
        """Caption pictures, (B, 3, S, S) uint8 RGB, in one beam search."""
        return self.engine(images, search)

    def warm_up(self, batch_sizes: Iterable[int], options: Options) -> None:
        """Run each batch size twice: TorchScript profiles one call and optimises the next."""
        beam_size, num_captions, max_length = (
            options.beam_size,
            options.num_captions,
            options.max_length,
        )
        for batch_size in batch_sizes:
            images = torch.zeros(batch_size, 3, self.image_size, self.image_size, dtype=torch.uint8)
            for with_attention in (False, True):
                self(images, Search(beam_size, max_length, num_captions, with_attention))


def check_memory(module_bytes: int) -> None:
    """Raise MemoryError, with the figures, for a large module that does not fit.

    A module stores its weights in half the bytes that they need here.
    """
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError, KeyError):  # the limit of a container, where there is one
        limit = int((_CGROUP / "memory.max").read_text())
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        free = min(free, limit - int(dict(map(str.split, lines))["anon"]))
    needed = 2 * 1.2 * module_bytes + _BESIDE
    if module_bytes > _LARGE and needed > free:
        raise MemoryError(
            f"The model needs {needed / 1e9:.1f} GB of memory where TorchServe runs, and "
            f"{free / 1e9:.1f} GB are free there. Stop other models, or give it more memory."
        )


def give_back_memory() -> None:
    """Return what loading freed to the system; C libraries other than glibc do so by themselves."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def choose_device(gpu_id: int | None) -> torch.device:
    """Return the device that TorchServe assigned: a GPU's number, or None for the CPU.

    Raises:
        RuntimeError: the GPU does not exist. Falling back to the CPU would hide the mistake.
    """
    if gpu_id is None:
        return torch.device("cpu")
    seen = torch.cuda.device_count()
    if gpu_id >= seen:
        raise RuntimeError(
            f"TorchServe assigned GPU {gpu_id} to this worker, but PyTorch sees {seen}. Install "
            "the driver and PyTorch for CUDA, or set number_of_gpu=0 to serve from the CPU."
        )
    return torch.device("cuda", gpu_id)
