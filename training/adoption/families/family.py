"""What a family of adopted models is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from training.adoption.model.decoder import TransformerDecoder
from training.adoption.model.vision import Levels, VisionShape
from training.adoption.weights import Published


class Parts(NamedTuple):
    """A model's parts, with their weights, and the ids of its first token and its last."""

    encoder: Any  # a module of training.adoption.model
    decoder: TransformerDecoder
    start: int
    end: int


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Args:
        reference: its class in ``transformers``.
        build: makes its parts from the whole configuration, the levels of its pixels and its
            weights.
        prompted: its reference has to be given the first token.
    """

    reference: str
    build: Callable[[Mapping[str, Any], Levels, Published], Parts]
    prompted: bool = False


def vision_shape(config: Mapping[str, Any], **more: Any) -> VisionShape:
    """The shape of a vision transformer from the configuration of ViT, or of one of its kin.

    Args:
        more: the fields in which it differs.
    """
    return VisionShape(
        image_size=config["image_size"],
        patch=config["patch_size"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        inner=config["intermediate_size"],
        activation=config["hidden_act"],
        eps=config["layer_norm_eps"],
        **more,
    )
