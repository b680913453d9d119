"""Decoders of BERT's kind, as BLIP, GIT and encoder-decoder models have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from training.adoption.model.decoder import TextShape
from training.adoption.weights import Published

Config = Mapping[str, Any]
IDLE = (r".*\.position_ids",)  # numbers from 0, which older versions saved


def bert_shape(config: Config, *, seen: int, head: bool, tied: bool) -> TextShape:
    """The shape of a decoder from the configuration of BERT, or of one of its kin."""
    return TextShape(
        vocabulary=config["vocab_size"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        inner=config["intermediate_size"],
        activation=config["hidden_act"],
        eps=config["layer_norm_eps"],
        positions=config["max_position_embeddings"],
        norm_first=False,
        seen=seen,
        head=head,
        tied=tied,
    )


def bert_weights(take: Published, prefix: str, shape: TextShape) -> dict[str, Tensor]:
    """The weights of a decoder without its output, from the names with ``prefix``."""
    embeddings = f"{prefix}embeddings."
    kinds = f"{embeddings}token_type_embeddings.weight"
    weights = {
        "embedding.weight": take(f"{embeddings}word_embeddings.weight"),
        "position.weight": take(f"{embeddings}position_embeddings.weight"),
        "kind": take(kinds)[0] if kinds in take else torch.zeros(shape.width),
        **take.pair("norm0", f"{embeddings}LayerNorm"),
    }
    for i in range(shape.layers):
        ours, theirs = f"layers.{i}.", f"{prefix}encoder.layer.{i}."
        names = {
            "out": "attention.output.dense",
            "norm1": "attention.output.LayerNorm",
            "fc1": "intermediate.dense",
            "fc2": "output.dense",
            "norm2": "output.LayerNorm",
        }
        own, other = f"{theirs}attention.self.", f"{theirs}crossattention.self."
        weights |= take.pair(f"{ours}qkv", f"{own}query", f"{own}key", f"{own}value")
        if shape.seen:
            weights |= take.pair(f"{ours}cross_q", f"{other}query")
            weights |= take.pair(f"{ours}cross_kv", f"{other}key", f"{other}value")
            names["cross_out"] = "crossattention.output.dense"
            names["norm_cross"] = "crossattention.output.LayerNorm"
        for name, source in names.items():
            weights |= take.pair(f"{ours}{name}", f"{theirs}{source}")
    return weights


def bert_head(take: Published, prefix: str, shape: TextShape) -> dict[str, Tensor]:
    """The weights of the output behind BERT's own layer, from the names with ``prefix``."""
    weights = {
        **take.pair("transform", f"{prefix}transform.dense"),
        **take.pair("transform_norm", f"{prefix}transform.LayerNorm"),
        "output.bias": take.first(f"{prefix}bias", f"{prefix}decoder.bias"),
    }
    if not shape.tied:
        weights["output.weight"] = take(f"{prefix}decoder.weight")
    return weights
