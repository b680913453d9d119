"""The decoder that looks at the picture for every word; its interface is that of all decoders."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handler.text import PAD
from training.model.layers import Dropout
from training.model.tagger import Tags


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
    new = gates.chunk(4, dim=-1)[2].tanh()
    write, forget, _, read = gates.sigmoid().chunk(4, dim=-1)  # in one call, one part in vain
    cell = forget * cell + write * new
    return read * cell.tanh(), cell


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
        tags: bool = False,
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
        self.tags = TagReader(embed_size, hidden_size, heads) if tags else None
        self.dropout = Dropout(dropout)
        self.embed_dropout = Dropout(embed_dropout)

    def forward(self, features: Tensor, tags: Tags, tokens: Tensor) -> Tensor:
        B, C, T = tokens.shape
        memory, picture = self._read(features, tags)
        words = self.embed_dropout(self.embedding(tokens)) + picture[:, None, None]
        asked, _ = self.word_lstm(words.flatten(0, 1))  # (B*C, T, H)
        context, _, named = self._attend(asked.reshape(B, C * T, -1), memory)
        both = torch.cat([asked, context.reshape(B * C, T, -1)], dim=-1)
        answered, _ = self.language_lstm(both)
        answered = answered.reshape(B, C * T, -1)
        hidden = self.output(self.dropout(torch.cat([answered, context], dim=-1)))
        return (self.dropout(hidden) + named).view(B, C, T, -1)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.embedding.weight, self.bias)

    @torch.jit.export
    def start(self, features: Tensor, tags: Tags, beams: int) -> tuple[list[Tensor], list[Tensor]]:
        memory, picture = self._read(features, tags)
        zeros = picture.new_zeros(features.shape[0], beams, self.query.in_features)
        lstm = self.word_lstm
        given = F.linear(picture, lstm.weight_ih_l0, lstm.bias_ih_l0)  # type: ignore[arg-type]
        return [given] + memory, [zeros, zeros, zeros, zeros]

    @torch.jit.export
    def step(
        self, tokens: Tensor, memory: list[Tensor], state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        given = self._word_gates(tokens) + memory[0].unsqueeze(1)  # (B, K, 4 H)
        lstm = self.word_lstm
        asked, c1 = lstm_step(given, state[0], state[1], lstm.weight_hh_l0, lstm.bias_hh_l0)  # type: ignore[arg-type]
        context, attention, named = self._attend(asked, memory[1:])
        lstm = self.language_lstm
        given = F.linear(torch.cat([asked, context], dim=-1), lstm.weight_ih_l0, lstm.bias_ih_l0)  # type: ignore[arg-type]
        answered, c2 = lstm_step(given, state[2], state[3], lstm.weight_hh_l0, lstm.bias_hh_l0)  # type: ignore[arg-type]
        hidden = self.output(torch.cat([answered, context], dim=-1)) + named
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

    def _read(self, features: Tensor, tags: Tags) -> tuple[list[Tensor], Tensor]:
        """By head, keys ``[B, heads, H/heads, G]`` and values ``[B, heads, G, H/heads]`` of the
        grid, then those of the tags if it reads any; and the picture as a whole ``[B, E]``."""
        grid = F.relu(self.project(features))
        keys = split(self.key(grid), self.heads).transpose(-1, -2).contiguous()
        memory = [keys, split(self.value(grid), self.heads)]
        picture = self.picture(grid.mean(1))
        if self.tags is not None:
            slots, named = self.tags(self.embedding(tags.words), tags)
            memory += slots
            picture = picture + named
        return memory, picture

    def _attend(self, asked: Tensor, memory: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """For each of N questions ``[B, N, H]``: the context ``[B, N, H]``; where in the grid it
        came from, ``[B, N, G]``, averaged over the heads; and what speaks for naming a tag, to be
        added to the output, ``[B, N, E]``."""
        query = split(self.query(asked), self.heads)  # (B, heads, N, H/heads)
        query = query / math.sqrt(query.shape[-1])
        weights = (query @ memory[0]).softmax(-1)  # (B, heads, N, G)
        context = weights @ memory[1]
        named = torch.zeros(1, 1, 1, device=asked.device)
        if self.tags is not None:
            chosen = (query @ memory[2]).softmax(-1)  # (B, heads, N, 1 + tags)
            context = context + chosen @ memory[3]
            named = chosen.mean(1)[..., 1:] @ memory[4] + memory[5]
        return context.transpose(1, 2).flatten(2), weights.mean(1), named


class TagReader(nn.Module):
    """Keys and values of a picture's tags, beside those of its grid.

    One more key stands for "none of them". At first all values are 0, so that a decoder which was
    trained without tags goes on as it was. Attention to a tag also speaks for its word directly, as
    in a pointer network (Vinyals et al., 2015; See et al., ACL 2017): so a word can be said that
    never occurred in training.

    How unlike the first training data a picture is decides which data's manner of speaking the
    decoder takes: it adds to every word that is read and every word that is written (after Kobus,
    Crego & Senellart, RANLP 2017, who control a translator's domain by a feature of each word).
    """

    def __init__(self, embed_size: int, hidden_size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.key = nn.Linear(embed_size + 1, hidden_size)
        self.value = nn.Linear(embed_size + 1, hidden_size)
        self.none = nn.Parameter(torch.randn(embed_size + 1) / embed_size**0.5)
        self.picture = nn.Linear(embed_size, embed_size, bias=False)
        self.emphasis = nn.Parameter(torch.ones(()))  # on the logit of a word that is looked at
        self.manner = nn.Parameter(torch.zeros(2, embed_size))  # before the LSTMs, and after them
        for layer in (self.value, self.picture):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, words: Tensor, tags: Tags) -> tuple[list[Tensor], Tensor]:
        """What attention needs, and all tags together ``[B, E]``.

        Args:
            words: the embeddings of the words of ``tags``, ``[B, N, E]``.

        Returns:
            by head, keys ``[B, heads, H/heads, 1 + N]`` and values ``[B, heads, 1 + N, H/heads]``;
            what raises the logit of each word, ``[B, N, E]``, and of all words, ``[B, 1, E]``.
        """
        sure = tags.probabilities.to(words.dtype).unsqueeze(-1)  # (B, N, 1)
        manner = tags.elsewhere.to(words.dtype).view(-1, 1, 1) * self.manner  # (B, 2, E)
        everything = self.picture((words * sure).sum(1)) + manner[:, 0]
        slots = torch.cat([words, sure.clamp(min=1e-3).log()], dim=-1)
        slots = torch.cat([self.none.expand(words.shape[0], 1, -1), slots], dim=1)
        keys = split(self.key(slots), self.heads).transpose(-1, -2).contiguous()
        # The output layer multiplies by the same embeddings: this makes their product the emphasis.
        raising = self.emphasis * words / words.square().sum(-1, keepdim=True).clamp(min=1e-3)
        return [keys, split(self.value(slots), self.heads), raising, manner[:, 1:]], everything

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Weights from before there were manners know one."""
        state_dict.setdefault(prefix + "manner", torch.zeros_like(self.manner))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def split(x: Tensor, heads: int) -> Tensor:
    """``[B, N, H]`` by head: ``[B, heads, N, H/heads]``."""
    return x.unflatten(-1, [heads, -1]).transpose(1, 2)
