"""Captioners that are small enough to be tried in every way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from training.model.captioner import Captioner
from training.model.decoders import build_decoder
from training.model.encoders import Encoder, EncoderSpec

IMAGE_SIZE = 32
HALF = (0.5, 0.5, 0.5)
OPTIONS: dict[str, dict[str, Any]] = {
    "lstm": {"embed_size": 12, "hidden_size": 12, "num_layers": 2},
    "attention": {"embed_size": 12, "hidden_size": 12, "heads": 3},
}
DECODER_NAMES = tuple(OPTIONS)


class TinyTrunk(nn.Module):
    """Two convolutions with BatchNorm: pictures of 32 pixels become a grid of 2 x 2 cells."""

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 4, 4), nn.BatchNorm2d(16), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(16, 24, 4, 4), nn.BatchNorm2d(24), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))

    @torch.jit.unused
    def stages(self) -> list[nn.Module]:
        return [self.first, self.second]


SPEC = EncoderSpec(TinyTrunk, IMAGE_SIZE, HALF, HALF, "none: drawn at random")


def tiny_encoder() -> Encoder:
    return Encoder(TinyTrunk(), IMAGE_SIZE, HALF, HALF)


def tiny_captioner(
    decoder: str, *, vocab_size: int = 12, length_penalty: float = 0.7, seed: int = 0
) -> Captioner:
    """A captioner with random weights, large enough that it prefers some words clearly."""
    torch.manual_seed(seed)
    encoder = tiny_encoder()
    speaker = build_decoder(decoder, vocab_size, encoder.channels, **OPTIONS[decoder])
    for parameter in [*encoder.parameters(), *speaker.parameters()]:
        nn.init.normal_(parameter, std=0.5)
    return Captioner(encoder, speaker, length_penalty=length_penalty).eval()


def random_pictures(count: int, size: int = IMAGE_SIZE, seed: int = 0) -> Tensor:
    """Pictures of four squares in random colours, so that they differ in every cell."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.randint(0, 256, (count, 3, 2, 2), generator=generator, dtype=torch.uint8)
    half = -(-size // 2)
    return colours.repeat_interleave(half, 2).repeat_interleave(half, 3)[:, :, :size, :size]
