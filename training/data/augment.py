"""Other views of the same picture: mirrored and cropped."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from training.common.torchvision_compat import prepare_torchvision


@dataclass(frozen=True)
class Augmentation:
    """How training pictures vary.

    Args:
        flips: mirror half of the pictures.
        crop: smallest share of the area that a random crop keeps (Szegedy et al., CVPR 2015, with
            its aspect ratios of 3:4 to 4:3), scaled back to the full size; 1 crops nothing.
    """

    flips: bool = False
    crop: float = 1.0

    @property
    def varies(self) -> bool:
        """Whether views differ at all."""
        return self.flips or self.crop < 1

    def __call__(self, pixels: Tensor) -> Tensor:
        """A random view of uint8 ``[3, S, S]``, of the same shape."""
        if self.flips and torch.rand(()) < 0.5:
            pixels = pixels.flip(-1)
        return self._cropped(pixels)

    def view(self, pixels: Tensor, name: str, number: int) -> Tensor:
        """View ``number`` of the picture ``name``: always the same, so that it can be cached.

        View 0 is the picture itself, and with flips, view 1 its mirror image. From then on they
        are crops, every second one mirrored.
        """
        if self.flips and number % 2:
            pixels = pixels.flip(-1)
        if number < (2 if self.flips else 1):
            return pixels
        seed = int.from_bytes(hashlib.sha256(f"{name} {number}".encode()).digest()[:7])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._cropped(pixels)

    def _cropped(self, pixels: Tensor) -> Tensor:
        if self.crop >= 1:
            return pixels
        prepare_torchvision()
        from torchvision.transforms import v2

        cut = v2.RandomResizedCrop(list(pixels.shape[-2:]), scale=(self.crop, 1.0), antialias=True)
        cropped: Tensor = cut(pixels)
        return cropped
