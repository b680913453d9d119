"""Decoders: from a grid of features to words, one step at a time or a whole sentence at once.

All decoders share one interface, which TorchScript can compile:

``forward(features [B, G, D], tokens [B, C, T]) -> [B, C, T, E]``
    hidden outputs for C captions of each picture under teacher forcing; ``logits`` turns any
    ``[..., E]`` of them into ``[..., V]``, so that padding need not be multiplied.
``start(features, beams) -> (memory, state)``
    what stays the same for a picture, and the state of ``beams`` empty sentences ``[B, K, ...]``.
``step(tokens [B, K], memory, state) -> (logits [B, K, V], state, attention [B, K, G])``
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handler.text import PAD
from training.model.layers import Dropout


def lstm_step(
    given: Tensor, hidden: Tensor, cell: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """The hidden and the cell state ``[B, K, H]`` of one layer of ``nn.LSTM``, by the equations of
    its documentation.

    For a single step: ``nn.LSTM`` repacks its weights at every call.

    Args:
        given: what the input adds to the gates, ``[B, K, 4 H]``.
        weight, bias: the layer's ``weight_hh`` and ``bias_hh``.
    """
    gates = given + F.linear(hidden, weight, bias)
    write, forget, new, read = gates.chunk(4, dim=-1)
    cell = forget.sigmoid() * cell + write.sigmoid() * new.tanh()
    return read.sigmoid() * cell.tanh(), cell


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

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
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
    def start(self, features: Tensor, beams: int) -> tuple[list[Tensor], list[Tensor]]:
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


class AttentionDecoder(nn.Module):
    """Two LSTMs with multi-head attention over the grid between them.

    After the top-down attention of Anderson et al., CVPR 2018 (a word LSTM asks, a language LSTM
    answers), with the scaled dot product of Vaswani et al., 2017, instead of additive attention.
    The language LSTM's state is not fed back to the word LSTM, so under teacher forcing a whole
    sentence is two LSTM calls and one attention product; keys and values are shared by all
    captions and all beams of a picture.
    """

    def __init__(
        self,
        vocab_size: int,
        channels: int,
        embed_size: int = 512,
        hidden_size: int = 512,
        heads: int = 8,
        dropout: float = 0.3,
        embed_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.heads = heads
        self.embedding = nn.Embedding(vocab_size, embed_size, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=embed_size**-0.5)
        self.project = nn.Linear(channels, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.picture = nn.Linear(hidden_size, embed_size)
        self.word_lstm = nn.LSTM(embed_size, hidden_size, batch_first=True)
        self.query = nn.Linear(hidden_size, hidden_size)
        self.language_lstm = nn.LSTM(2 * hidden_size, hidden_size, batch_first=True)
        self.output = nn.Linear(2 * hidden_size, embed_size)
        # The output layer shares the embedding's weights (Press & Wolf, 2017).
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.dropout = Dropout(dropout)
        self.embed_dropout = Dropout(embed_dropout)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        B, C, T = tokens.shape
        keys, values, picture = self._read(features)
        words = self.embed_dropout(self.embedding(tokens)) + picture[:, None, None]
        asked, _ = self.word_lstm(words.flatten(0, 1))  # (B*C, T, H)
        context, _ = self._attend(asked.reshape(B, C * T, -1), keys, values)
        both = torch.cat([asked, context.reshape(B * C, T, -1)], dim=-1)
        answered, _ = self.language_lstm(both)
        answered = answered.reshape(B, C * T, -1)
        hidden = self.output(self.dropout(torch.cat([answered, context], dim=-1)))
        return self.dropout(hidden).view(B, C, T, -1)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.embedding.weight, self.bias)

    @torch.jit.export
    def start(self, features: Tensor, beams: int) -> tuple[list[Tensor], list[Tensor]]:
        keys, values, picture = self._read(features)
        zeros = picture.new_zeros(features.shape[0], beams, self.query.in_features)
        lstm = self.word_lstm
        given = F.linear(picture, lstm.weight_ih_l0, lstm.bias_ih_l0)  # type: ignore[arg-type]
        return [keys, values, given], [zeros, zeros, zeros, zeros]

    @torch.jit.export
    def step(
        self, tokens: Tensor, memory: list[Tensor], state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        given = self._word_gates(tokens) + memory[2].unsqueeze(1)  # (B, K, 4 H)
        lstm = self.word_lstm
        asked, c1 = lstm_step(given, state[0], state[1], lstm.weight_hh_l0, lstm.bias_hh_l0)  # type: ignore[arg-type]
        context, attention = self._attend(asked, memory[0], memory[1])
        lstm = self.language_lstm
        given = F.linear(torch.cat([asked, context], dim=-1), lstm.weight_ih_l0, lstm.bias_ih_l0)  # type: ignore[arg-type]
        answered, c2 = lstm_step(given, state[2], state[3], lstm.weight_hh_l0, lstm.bias_hh_l0)  # type: ignore[arg-type]
        hidden = self.output(torch.cat([answered, context], dim=-1))
        return self.logits(hidden), [asked, c1, answered, c2], attention

    def _word_gates(self, tokens: Tensor) -> Tensor:
        """What words ``[B, K]`` add to the word LSTM's gates, ``[B, K, 4 H]``."""
        weight: Tensor = self.word_lstm.weight_ih_l0  # type: ignore[assignment]
        exporting = False
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            exporting = torch.compiler.is_exporting()
        if exporting:
            # Of weights alone: ONNX Runtime does this for all words when it loads the graph.
            return F.embedding(tokens, F.linear(self.embedding.weight, weight))
        return F.linear(self.embedding(tokens), weight)

    def _read(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """By head, keys ``[B, heads, H/heads, G]`` and values ``[B, heads, G, H/heads]``, and the
        picture as a whole ``[B, E]``."""
        grid = F.relu(self.project(features))
        keys = self._split(self.key(grid)).transpose(-1, -2)
        return keys.contiguous(), self._split(self.value(grid)), self.picture(grid.mean(1))

    def _attend(self, asked: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """For each of N questions ``[B, N, H]``: the context ``[B, N, H]`` and where it came from,
        ``[B, N, G]``, averaged over the heads."""
        query = self._split(self.query(asked))  # (B, heads, N, H/heads)
        weights = (query @ keys / math.sqrt(query.shape[-1])).softmax(-1)  # (B, heads, N, G)
        context = (weights @ values).transpose(1, 2).flatten(2)
        return context, weights.mean(1)

    def _split(self, x: Tensor) -> Tensor:
        """``[B, N, H]`` by head: ``[B, heads, N, H/heads]``."""
        return x.unflatten(-1, [self.heads, -1]).transpose(1, 2)


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
