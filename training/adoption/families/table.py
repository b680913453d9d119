"""The families of models that can be adopted. A further one is a file like theirs, and a line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.adoption.families import blip, encoder_decoder, git
from training.adoption.families.family import Family
from training.adoption.model.search import AdoptedCaptioner, Rules
from training.adoption.model.vision import ACTIVATIONS
from training.adoption.published import Processing, read_config, read_processing
from training.adoption.weights import AdoptionError, Published, read_weights

FAMILIES: dict[str, Family] = {  # by the model_type of config.json
    "blip": blip.FAMILY,
    "git": git.FAMILY,
    "vision-encoder-decoder": encoder_decoder.FAMILY,
}


def family_of(config: Mapping[str, Any]) -> Family:
    """The family of a configuration.

    Raises:
        AdoptionError: it is not known.
    """
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise AdoptionError(
            f"config.json says model_type {kind!r}; known are {', '.join(FAMILIES)}."
        )
    return FAMILIES[kind]


def build(
    config: Mapping[str, Any],
    processing: Processing,
    weights: Mapping[str, Tensor],
    begins: Tensor,
    length_penalty: float = 1.0,
) -> AdoptedCaptioner:
    """The captioner of a configuration and its weights, in eval mode.

    Args:
        begins: bool, which tokens begin a word; of as many as the tokenizer has.

    Raises:
        AdoptionError: something of the model is not known here, or does not fit.
    """
    for part in (config, *(one for one in config.values() if isinstance(one, dict))):
        for name in ("hidden_act", "activation_function"):
            if part.get(name, ACTIVATIONS[0]) not in ACTIVATIONS:
                raise AdoptionError(
                    f"config.json says {name} {part[name]!r}; known are {', '.join(ACTIVATIONS)}."
                )
    published = Published(dict(weights))
    encoder, decoder, start, end = family_of(config).build(config, processing.levels, published)
    if encoder.image_size != processing.size:
        raise AdoptionError(
            f"The model takes {encoder.image_size} pixels, and its image processor makes "
            f"{processing.size}."
        )
    padded = torch.zeros(decoder.vocab_size, dtype=torch.bool)
    padded[: len(begins)] = begins[: len(padded)]
    padded[[start, end]] = False
    rules = Rules(start, end, padded, processing.fit, length_penalty)
    return AdoptedCaptioner(encoder, decoder, rules).eval()


def read(folder: Path, begins: Tensor, length_penalty: float = 1.0) -> AdoptedCaptioner:
    """The captioner of a model's folder; see ``build``."""
    config = read_config(folder)
    family_of(config)
    return build(config, read_processing(folder), read_weights(folder), begins, length_penalty)
