"""Decoders: from a grid of features to words, one step at a time or a whole sentence at once.

All decoders share one interface, which TorchScript can compile:

``forward(features [B, G, D], tags, tokens [B, C, T]) -> [B, C, T, E]``
    hidden outputs for C captions of each picture under teacher forcing; ``logits`` turns any
    ``[..., E]`` of them into ``[..., V]``, so that padding need not be multiplied.
``start(features, tags, beams) -> (memory, state)``
    what stays the same for a picture, and the state of ``beams`` empty sentences ``[B, K, ...]``.
``step(tokens [B, K], memory, state) -> (logits [B, K, V], state, attention [B, K, G])``
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handler.text import PAD
from training.model.attention import AttentionDecoder, lstm_step
from training.model.layers import Dropout
from training.model.tagger import Tags


class LSTMDecoder(nn.Module):
    """The decoder of 'Show and Tell': the picture is the first word of the sentence.

    Source: Vinyals et al., CVPR 2015, equations 10 to 12. Features are averaged over the grid and
    mapped by a fully connected layer; dropout acts on the mapped picture and the embeddings.
    """

    def __init__(
        self,
        vocab_size: int,
        channels: int,
        embed_size: int = 256,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.picture = nn.Linear(channels, embed_size)
        self.embedding = nn.Embedding(vocab_size, embed_size, padding_idx=PAD)
        self.hidden_size = hidden_size
        self.layers = nn.ModuleList(
            nn.LSTM(hidden_size if number else embed_size, hidden_size, batch_first=True)
            for number in range(num_layers)
        )
        self.output = nn.Linear(hidden_size, vocab_size)
        self.dropout = Dropout(dropout)

    def forward(self, features: Tensor, tags: Tags, tokens: Tensor) -> Tensor:
        B, C, T = tokens.shape
        picture = self.dropout(F.relu(self.picture(features.mean(1))))  # (B, E)
        picture = picture[:, None, None].expand(B, C, 1, -1)
        words = self.dropout(self.embedding(tokens))  # (B, C, T, E)
        x = torch.cat([picture, words], dim=2).flatten(0, 1)  # (B*C, 1+T, E)
        for layer in self.layers:
            x, _ = layer(x)
        return x[:, 1:].unflatten(0, (B, C))

    def logits(self, hidden: Tensor) -> Tensor:
        return self.output(hidden)

    @torch.jit.export
    def start(self, features: Tensor, tags: Tags, beams: int) -> tuple[list[Tensor], list[Tensor]]:
        x = F.relu(self.picture(features.mean(1))).unsqueeze(1).expand(-1, beams, -1)  # (B, K, E)
        zeros = x.new_zeros(x.shape[0], beams, self.hidden_size)
        _, state = self._run_layers(x, [zeros for _ in range(2 * len(self.layers))])
        uniform = torch.full_like(features[:, :, 0], 1.0 / features.shape[1])  # (B, G)
        return [uniform], state

    @torch.jit.export
    def step(
        self, tokens: Tensor, memory: list[Tensor], state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        hidden, state = self._run_layers(self.embedding(tokens), state)
        attention = memory[0].unsqueeze(1).expand(-1, tokens.shape[1], -1)
        return self.output(hidden), state, attention

    def _run_layers(self, x: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step of all layers: the state is the hidden and the cell state of each in turn."""
        following: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            given = F.linear(x, layer.weight_ih_l0, layer.bias_ih_l0)  # type: ignore[arg-type]
            hidden, cell = state[2 * number], state[2 * number + 1]
            x, cell = lstm_step(given, hidden, cell, layer.weight_hh_l0, layer.bias_hh_l0)  # type: ignore[arg-type]
            following += [x, cell]
        return x, following


Decoder = LSTMDecoder | AttentionDecoder
DECODERS: dict[str, type[Decoder]] = {
    "lstm": LSTMDecoder,
    "attention": AttentionDecoder,
}


def build_decoder(name: str, vocab_size: int, channels: int, **options: Any) -> Decoder:
    """Build the decoder ``name`` for ``channels`` wide features.

    Raises:
        ValueError: there is no such decoder.
    """
    if name not in DECODERS:
        raise ValueError(f"Unknown decoder {name!r}; there are {', '.join(DECODERS)}.")
    return DECODERS[name](vocab_size, channels, **options)
