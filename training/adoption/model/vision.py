"""Vision transformers: from uint8 pictures to features, the whole picture's first.

ViT (Dosovitskiy et al., ICLR 2021), and what DeiT, CLIP and BLIP changed about it.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class VisionShape:
    """How a vision transformer is built; sizes in pixels or channels."""

    image_size: int
    patch: int
    width: int
    layers: int
    heads: int
    inner: int
    activation: str
    eps: float
    extra: int = 1  # tokens before those of the picture's cells: its class, and DeiT's teacher
    norm_first: bool = False  # CLIP normalises before the first layer too,
    patch_bias: bool = True  # and its patches have no bias
    project: int = 0  # channels to which features are mapped; 0: they stay as they are
    project_norm: bool = False  # whether they are normalised then


@dataclass(frozen=True)
class Levels:
    """How pixels are normalised, in levels of 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def activate(x: Tensor, name: str) -> Tensor:
    """An activation function by the name that published configurations give it."""
    if name == "quick_gelu":
        return x * torch.sigmoid(1.702 * x)
    if name == "gelu_new":
        return F.gelu(x, approximate="tanh")
    if name == "relu":
        return F.relu(x)
    return F.gelu(x)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of ``[..., N, d]``, with a mask that is added.

    PyTorch's own is faster, but the exporter to ONNX refuses it for some shapes.
    """
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q * (1.0 / math.sqrt(q.shape[-1]))) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1) @ v


ACTIVATIONS = ("gelu", "gelu_new", "quick_gelu", "relu")


class Normalise(nn.Module):
    """Pictures ``[B, 3, S, S]`` uint8 to the numbers that a network was trained on.

    Its own numbers are no weights, which half precision would round.
    """

    mean: list[float]
    std: list[float]

    def __init__(self, levels: Levels) -> None:
        super().__init__()
        self.mean = list(levels.mean)
        self.std = list(levels.std)

    def forward(self, images: Tensor, weight: Tensor) -> Tensor:
        """The pictures in the type of ``weight``."""
        mean = torch.tensor(self.mean, device=images.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, 3, 1, 1)
        return ((images.float() - mean) / std).to(weight.dtype)


class VisionLayer(nn.Module):
    """A layer of a vision transformer, normalised before attention and before its own network."""

    heads: Final[int]
    activation: Final[str]

    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.heads, self.activation = shape.heads, shape.activation
        self.norm1 = nn.LayerNorm(shape.width, shape.eps)
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)
        self.norm2 = nn.LayerNorm(shape.width, shape.eps)
        self.fc1 = nn.Linear(shape.width, shape.inner)
        self.fc2 = nn.Linear(shape.inner, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        B, N, D = x.shape
        qkv = self.qkv(self.norm1(x)).view(B, N, 3, self.heads, D // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, h, N, d)
        attended = attend(q, k, v).transpose(1, 2).reshape(B, N, D)
        x = x + self.out(attended)
        return x + self.fc2(activate(self.fc1(self.norm2(x)), self.activation))


class VisionTransformer(nn.Module):
    """uint8 ``[B, 3, S, S]`` to features ``[B, extra + G, D]`` of a square grid of G cells."""

    def __init__(self, shape: VisionShape, levels: Levels) -> None:
        super().__init__()
        self.image_size, self.extra = shape.image_size, shape.extra
        self.grid_rows = self.grid_columns = shape.image_size // shape.patch
        self.normalise = Normalise(levels)
        width, eps = shape.width, shape.eps
        self.patch = nn.Conv2d(3, width, shape.patch, shape.patch, bias=shape.patch_bias)
        self.first = nn.Parameter(torch.zeros(1, shape.extra, width))
        cells = self.grid_rows * self.grid_columns
        self.position = nn.Parameter(torch.zeros(1, shape.extra + cells, width))
        self.norm0 = nn.LayerNorm(width, eps) if shape.norm_first else nn.Identity()
        self.layers = nn.ModuleList(VisionLayer(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(width, eps)
        self.project = nn.Linear(width, shape.project) if shape.project else nn.Identity()
        normed = shape.project and shape.project_norm
        self.project_norm = nn.LayerNorm(shape.project, eps) if normed else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        x = self.patch(self.normalise(images, self.position)).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1) + self.position
        x = self.norm0(x)
        for layer in self.layers:
            x = layer(x)
        return self.project_norm(self.project(self.norm(x)))
