"""Captioners that are small enough to be tried in every way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from training.model.captioner import Captioner
from training.model.decoders import build_decoder
from training.model.encoders import Encoder, EncoderSpec
from training.model.tagger import CLASSES

IMAGE_SIZE = 32
HALF = (0.5, 0.5, 0.5)
OPTIONS: dict[str, dict[str, Any]] = {
    "lstm": {"embed_size": 12, "hidden_size": 12, "num_layers": 2},
    "attention": {"embed_size": 12, "hidden_size": 12, "heads": 3, "tags": True},
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


def classifier() -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(0)
    return torch.randn(CLASSES, 24, generator=chance), torch.zeros(CLASSES)


SPEC = EncoderSpec(TinyTrunk, IMAGE_SIZE, HALF, HALF, "none: drawn at random", classifier)


def tiny_encoder() -> Encoder:
    return Encoder(TinyTrunk(), IMAGE_SIZE, HALF, HALF)


def tiny_captioner(
    decoder: str, *, vocab_size: int = 12, length_penalty: float = 0.7, seed: int = 0
) -> Captioner:
    """A captioner with random weights, large enough that it prefers some words clearly, which tags
    pictures with any of its words if its decoder reads tags."""
    torch.manual_seed(seed)
    encoder = tiny_encoder()
    speaker = build_decoder(decoder, vocab_size, encoder.channels, **OPTIONS[decoder])
    for parameter in [*encoder.parameters(), *speaker.parameters()]:
        nn.init.normal_(parameter, std=0.5)
    count = 2 if OPTIONS[decoder].get("tags") else 0
    captioner = Captioner(encoder, speaker, length_penalty=length_penalty, tags=count).eval()
    if count:
        for parameter in captioner.tagger.classifier.parameters():
            nn.init.normal_(parameter)
        captioner.tagger.plain.copy_(torch.randint(4, vocab_size, (CLASSES,)))
    return captioner


@torch.no_grad()
def ruled(captioner: Captioner) -> Captioner:
    """The captioner with something in every table: rules, what tags are worth, and a fitted
    confidence, all exact in half precision."""
    rules, calibration = captioner.rules, captioner.calibration
    words = torch.arange(captioner.vocab_size)
    rules.again[4:6] = torch.tensor([4, 5])
    rules.soon[6:8] = 1
    rules.unclosed[8:10] = 1
    rules.heads[10] = 1
    rules.kinds[4:12] = words[4:12] // 2
    rules.worth.copy_(words / 4)
    rules.sure.fill_(0.25)
    captioner.tagger.means[4:] = words[4:]
    captioner.tagger.means[11] = 10
    calibration.fitted.fill_(1)
    calibration.content[6:] = 1
    calibration.words.copy_(torch.tensor([-2.0, 4.0, 2.0, 1.0, -3.0]))
    return captioner


def random_pictures(count: int, size: int = IMAGE_SIZE, seed: int = 0) -> Tensor:
    """Pictures of four squares in random colours, so that they differ in every cell."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.randint(0, 256, (count, 3, 2, 2), generator=generator, dtype=torch.uint8)
    half = -(-size // 2)
    return colours.repeat_interleave(half, 2).repeat_interleave(half, 3)[:, :, :size, :size]
