"""The transformer decoder of adopted captioners: one word of all beams at a time.

Every sentence of a picture's beams has its keys and values in one common cache, to which each step
adds; a mask says which of them a sentence is made of. So only the mask follows the beams when
these change places, and the cache stays where it is.

``start(features [B, N, D]) -> (memory, cache)``
    what stays the same for a picture, and a cache without words.
``step(tokens [B, K], t, memory, cache, mask) -> (logits [B, K, V], cache, attention [B, K, G])``
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from training.adoption.model.vision import activate, attend


@dataclass(frozen=True)
class TextShape:
    """How a decoder is built; sizes in channels, words or positions."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    inner: int
    activation: str
    eps: float
    positions: int
    norm_first: bool  # GPT-2 normalises before a layer's parts, BERT after them
    seen: int  # channels of the features that cross-attention looks at; 0: there is none (GIT)
    head: bool  # whether a layer of BERT's kind stands before the words
    tied: bool  # whether words come out by the same weights as they go in


class TextLayer(nn.Module):
    """A layer that looks at a sentence so far, and at the picture: by attention of its own, or, in
    GIT, by the same as at the sentence."""

    heads: Final[int]
    activation: Final[str]
    norm_first: Final[bool]
    cross: Final[bool]
    scale: Final[float]

    def __init__(self, shape: TextShape) -> None:
        super().__init__()
        width, eps, cross = shape.width, shape.eps, shape.seen > 0
        self.heads, self.activation = shape.heads, shape.activation
        self.norm_first, self.cross = shape.norm_first, cross
        self.scale = 1.0 / math.sqrt(width // shape.heads)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps)
        self.cross_q = nn.Linear(width, width) if cross else nn.Identity()
        self.cross_kv = nn.Linear(shape.seen, 2 * width) if cross else nn.Identity()
        self.cross_out = nn.Linear(width, width) if cross else nn.Identity()
        self.norm_cross = nn.LayerNorm(width, eps) if cross else nn.Identity()
        self.fc1 = nn.Linear(width, shape.inner)
        self.fc2 = nn.Linear(shape.inner, width)
        self.norm2 = nn.LayerNorm(width, eps)

    def seen(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A picture for this layer: features for the next one, keys ``[B, h, d, N]`` and values
        ``[B, h, N, d]``."""
        B, N = features.shape[0], features.shape[1]
        if self.cross:
            kv = self.cross_kv(features).view(B, N, 2, self.heads, -1)
            k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, h, N, d)
            following = features
        else:
            q, k, v = self._split(features)
            x = self.norm1(features + self.out(self._join(attend(q, k, v))))
            following = self.norm2(x + self._network(x))
        return following, k.transpose(-1, -2).contiguous(), v.contiguous()

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor], picture: tuple[Tensor, Tensor], mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A word of each beam, ``x`` ``[B, K, D]``.

        Args:
            past: keys ``[B, h, d, n]`` and values ``[B, h, n, d]`` of the words so far.
            picture: what ``seen`` returned of it.
            mask: ``[B, 1, K, n + K]``, 0 for the words of a beam, minus infinity for others'.

        Returns:
            ``x`` for the next layer; the keys and the values with those of these words; where the
            beams looked, ``[B, K, N]``.
        """
        q, k, v = self._split(self.norm1(x) if self.norm_first else x)
        q = q * self.scale
        keys = torch.cat([past[0], k.transpose(-1, -2)], -1)
        values = torch.cat([past[1], v], 2)
        said = q @ keys + mask  # (B, h, K, n + K)
        if self.cross:
            x = x + self.out(self._join(said.softmax(-1) @ values))
            x = x if self.norm_first else self.norm1(x)
            q = self.cross_q(self.norm_cross(x) if self.norm_first else x)
            q = q.unflatten(-1, [self.heads, -1]).transpose(1, 2) * self.scale
            looked = (q @ picture[0]).softmax(-1)  # (B, h, K, N)
            x = x + self.cross_out(self._join(looked @ picture[1]))
            x = x if self.norm_first else self.norm_cross(x)
        else:
            cells = picture[0].shape[-1]
            both = torch.cat([q @ picture[0], said], -1).softmax(-1)
            looked = both[..., :cells]
            x = x + self.out(self._join(looked @ picture[1] + both[..., cells:] @ values))
            x = x if self.norm_first else self.norm1(x)
        x = x + self._network(self.norm2(x) if self.norm_first else x)
        x = x if self.norm_first else self.norm2(x)
        return x, keys, values, looked.mean(1)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values ``[B, h, N, d]`` of ``[B, N, D]``."""
        qkv = self.qkv(x).unflatten(-1, [3, self.heads, -1]).permute(2, 0, 3, 1, 4)
        return qkv[0], qkv[1], qkv[2]

    def _join(self, x: Tensor) -> Tensor:
        """``[B, h, N, d]`` to ``[B, N, D]``."""
        return x.transpose(1, 2).flatten(2)

    def _network(self, x: Tensor) -> Tensor:
        return self.fc2(activate(self.fc1(x), self.activation))


class TransformerDecoder(nn.Module):
    """A decoder of BERT's or GPT-2's kind that looks at a picture's features.

    Args:
        extra: of the features, the number that stand for the whole picture and not for a cell.
    """

    head: Final[bool]
    activation: Final[str]
    looks: Final[int]
    extra: Final[int]
    heads: Final[int]

    def __init__(self, shape: TextShape, extra: int) -> None:
        super().__init__()
        width, eps = shape.width, shape.eps
        self.vocab_size, self.heads, self.width = shape.vocabulary, shape.heads, width
        self.head, self.activation = shape.head, shape.activation
        # The heat map is the mean of the last third of the layers, in which words are settled.
        self.looks, self.extra = max(1, shape.layers // 3), extra
        self.embedding = nn.Embedding(shape.vocabulary, width)
        self.position = nn.Embedding(shape.positions, width)
        self.kind = nn.Parameter(torch.zeros(width))  # of text, in BERT: a caption is all of one
        self.norm0 = nn.Identity() if shape.norm_first else nn.LayerNorm(width, eps)
        self.layers = nn.ModuleList(TextLayer(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(width, eps) if shape.norm_first else nn.Identity()
        self.transform = nn.Linear(width, width) if shape.head else nn.Identity()
        self.transform_norm = nn.LayerNorm(width, eps) if shape.head else nn.Identity()
        self.output = nn.Linear(width, shape.vocabulary)
        if shape.tied:
            self.output.weight = self.embedding.weight

    @torch.jit.export
    def start(self, features: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Keys and values of a picture's features for each layer in turn, and a cache like them
        without words."""
        memory: list[Tensor] = []
        cache: list[Tensor] = []
        for layer in self.layers:
            features, keys, values = layer.seen(features)  # type: ignore[operator]
            memory += [keys, values]
            cache += [keys[:, :, :, :0], values[:, :, :0]]
        return memory, cache

    @torch.jit.export
    def step(
        self, tokens: Tensor, t: Tensor, memory: list[Tensor], cache: list[Tensor], mask: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """The next word of each beam, after ``tokens``, which is its word ``t`` (a scalar).

        Args:
            mask: ``[B, K, n + K]``, 0 where a word of the cache is one of the beam's.
        """
        x = self.norm0(self.embedding(tokens) + self.position(t) + self.kind)
        mask = mask.unsqueeze(1).to(x.dtype)
        grown: list[Tensor] = []
        looked: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            past = (cache[2 * i], cache[2 * i + 1])
            picture = (memory[2 * i], memory[2 * i + 1])
            x, keys, values, weights = layer(x, past, picture, mask)
            grown += [keys, values]
            looked.append(weights)
        x = self.norm(x)
        if self.head:
            x = self.transform_norm(activate(self.transform(x), self.activation))
        attention = torch.stack(looked[-self.looks :]).mean(0)[:, :, self.extra :].float()
        attention = attention / attention.sum(-1, keepdim=True).clamp(min=1e-9)
        return self.output(x), grown, attention
