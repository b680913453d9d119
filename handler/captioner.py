"""The exported captioner, loaded: the one place that knows its interface."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from handler.options import Options
from handler.text import read_vocabulary


class Beams(NamedTuple):
    """What the captioner found, best hypothesis first, on the CPU."""

    tokens: torch.Tensor  # (B, K, T) int64, <EOS> included, padded with <PAD>
    log_probs: torch.Tensor  # (B, K, T) float32, of each token, natural logarithm
    attention: torch.Tensor  # (B, K, T, G) float32, or (B, K, 0, G) where it was not asked for
    confidence: torch.Tensor  # (B, K) float32, 0 to 1; the model card says what it means


class Captioner:
    """A TorchScript captioner on its device, with its vocabulary."""

    def __init__(self, module: Path, vocabulary: Path, device: torch.device) -> None:
        """Load the files of one model.

        Raises:
            ValueError: the vocabulary is invalid, or is not the module's.
        """
        script = torch.jit.load(module, map_location=device).eval()  # type: ignore[no-untyped-call]
        self.device = device
        self.image_size = int(script.image_size)
        self.grid_rows = int(script.grid_rows)
        self.grid_columns = int(script.grid_columns)
        self.vocabulary = read_vocabulary(vocabulary)
        if len(self.vocabulary) != script.vocab_size:
            raise ValueError(
                f"{vocabulary.name} has {len(self.vocabulary)} tokens, but {module.name} has "
                f"{script.vocab_size}: they belong to different models"
            )
        # Weights are stored in half precision; CPUs are slow at computing in it.
        script = script.half() if device.type == "cuda" else script.float()
        self._module = torch.jit.freeze(script)  # the attributes above are gone from here on

    @property
    def precision(self) -> str:
        """The precision that it computes in."""
        return "float16" if self.device.type == "cuda" else "float32"

    @torch.inference_mode()
    def __call__(
        self, images: torch.Tensor, beam_size: int, max_length: int, with_attention: bool
    ) -> Beams:
        """Caption pictures, (B, 3, S, S) uint8 RGB, in one beam search."""
        found = self._module(images.to(self.device), beam_size, max_length, with_attention)
        return Beams(*(tensor.cpu() for tensor in found))

    def warm_up(self, batch_sizes: Iterable[int], options: Options) -> None:
        """Run each batch size twice: TorchScript watches a first call, and optimises a second."""
        for batch_size in batch_sizes:
            images = torch.zeros(batch_size, 3, self.image_size, self.image_size, dtype=torch.uint8)
            for with_attention in (False, True):
                self(images, options.beam_size, options.max_length, with_attention)


def choose_device(gpu_id: int | None) -> torch.device:
    """Return the device that TorchServe gave to this worker: a GPU's number, or None for the CPU.

    Raises:
        RuntimeError: the GPU is not there. Captions from the CPU would hide the mistake.
    """
    if gpu_id is None:
        return torch.device("cpu")
    seen = torch.cuda.device_count()
    if gpu_id >= seen:
        raise RuntimeError(
            f"TorchServe gave GPU {gpu_id} to this worker, but PyTorch sees {seen} GPUs. Install "
            "the driver and PyTorch for CUDA, or set number_of_gpu=0 to serve from the CPU."
        )
    return torch.device("cuda", gpu_id)
