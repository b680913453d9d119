"""Swin transformers (Liu et al., ICCV 2021): attention within windows, which every second layer
shifts, over a grid whose rows and columns are halved between stages."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from training.adoption.model.vision import Levels, Normalise, activate, attend
from training.adoption.weights import AdoptionError

APART = -100.0  # added to the attention between what only the shift has made neighbours


@dataclass(frozen=True)
class SwinShape:
    """How a Swin transformer is built; sizes in pixels, cells or channels."""

    image_size: int
    patch: int
    width: int  # of the first stage; each further one has twice as many
    layers: tuple[int, ...]  # of each stage
    heads: tuple[int, ...]
    window: int
    ratio: float
    activation: str
    eps: float
    project: int = 0  # channels to which features are mapped; 0: they stay as they are


class WindowLayer(nn.Module):
    """A layer over a grid of ``side * side`` cells, in windows shifted by ``shift``."""

    side: Final[int]
    window: Final[int]
    shift: Final[int]
    heads: Final[int]
    activation: Final[str]
    index: Tensor
    apart: Tensor

    def __init__(self, shape: SwinShape, stage: int, side: int, shifted: bool) -> None:
        super().__init__()
        width = shape.width * 2**stage
        self.side, self.heads, self.activation = side, shape.heads[stage], shape.activation
        self.window = min(shape.window, side)
        if side % self.window:
            raise AdoptionError(
                f"A grid of {side} cells cannot be parted in windows {self.window}."
            )
        self.shift = self.window // 2 if shifted and self.window < side else 0
        self.norm1 = nn.LayerNorm(width, shape.eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros((2 * self.window - 1) ** 2, self.heads))
        self.norm2 = nn.LayerNorm(width, shape.eps)
        inner = int(shape.ratio * width)
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.register_buffer("index", self._offsets(), persistent=False)
        self.register_buffer("apart", self._apart(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        B, N, D = x.shape
        w, n = self.window, self.side // self.window
        grid = self.norm1(x).view(B, self.side, self.side, D)
        grid = torch.roll(grid, [-self.shift, -self.shift], [1, 2])
        cells = grid.view(B, n, w, n, w, D).transpose(2, 3).reshape(B, n * n, w * w, D)
        qkv = self.qkv(cells).unflatten(-1, [3, self.heads, -1]).permute(3, 0, 1, 4, 2, 5)
        bias = self.bias.index_select(0, self.index).view(w * w, w * w, self.heads).permute(2, 0, 1)
        mask = bias.unsqueeze(0) + self.apart.to(bias.dtype).unsqueeze(1)  # (n * n, h, w², w²)
        cells = attend(qkv[0], qkv[1], qkv[2], mask.unsqueeze(0))
        cells = self.out(cells.transpose(2, 3).flatten(3))
        grid = cells.view(B, n, n, w, w, D).transpose(2, 3).reshape(B, self.side, self.side, D)
        x = x + torch.roll(grid, [self.shift, self.shift], [1, 2]).view(B, N, D)
        return x + self.fc2(activate(self.fc1(self.norm2(x)), self.activation))

    def _offsets(self) -> Tensor:
        """For each pair of a window's cells, the place of their offset in ``bias``."""
        w = self.window
        rows, columns = torch.arange(w).repeat_interleave(w), torch.arange(w).repeat(w)
        down = rows[:, None] - rows + w - 1
        right = columns[:, None] - columns + w - 1
        return (down * (2 * w - 1) + right).flatten()

    def _apart(self) -> Tensor:
        """``[windows, w², w²]``: 0 between neighbours, APART where the grid's edge runs between."""
        w, n = self.window, self.side // self.window
        if not self.shift:
            return torch.zeros(1, 1, 1)
        line = torch.arange(self.side)
        part = (line >= self.side - w).long() + (line >= self.side - self.shift).long()
        region = part[:, None] * 3 + part
        cells = region.view(n, w, n, w).transpose(1, 2).reshape(n * n, w * w)
        return (cells[:, :, None] != cells[:, None]).float() * APART


class Merge(nn.Module):
    """Halve the rows and columns of a grid: four cells become one of twice the channels."""

    side: Final[int]

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        B, _, D = x.shape
        half = self.side // 2
        grid = x.view(B, half, 2, half, 2, D).permute(0, 1, 3, 4, 2, 5)
        return self.reduction(self.norm(grid.reshape(B, half * half, 4 * D)))


class SwinTransformer(nn.Module):
    """uint8 ``[B, 3, S, S]`` to features ``[B, G, D]``."""

    def __init__(self, shape: SwinShape, levels: Levels) -> None:
        super().__init__()
        self.image_size, self.extra = shape.image_size, 0
        self.normalise = Normalise(levels)
        self.patch = nn.Conv2d(3, shape.width, shape.patch, shape.patch)
        self.norm0 = nn.LayerNorm(shape.width)
        side = shape.image_size // shape.patch
        layers: list[nn.Module] = []
        for stage, count in enumerate(shape.layers):
            if stage:
                layers.append(Merge(shape.width * 2 ** (stage - 1), side))
                side //= 2
            layers += [WindowLayer(shape, stage, side, bool(i % 2)) for i in range(count)]
        self.layers = nn.ModuleList(layers)
        self.grid_rows = self.grid_columns = side
        width = shape.width * 2 ** (len(shape.layers) - 1)
        self.norm = nn.LayerNorm(width, shape.eps)
        self.project = nn.Linear(width, shape.project) if shape.project else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        x = self.patch(self.normalise(images, self.patch.weight)).flatten(2).transpose(1, 2)
        x = self.norm0(x)
        for layer in self.layers:
            x = layer(x)
        return self.project(self.norm(x))
