"""Checkpoints: a model together with all that is needed to use it or to continue training it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training.common.errors import UserError
from training.data.vocabulary import Vocabulary
from training.model.captioner import Captioner
from training.model.decoders import build_decoder
from training.model.encoders import build_encoder
from training.trainer.config import TrainConfig


class CheckpointError(UserError):
    """A checkpoint is missing, damaged or of another kind; the message says what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained captioner with its vocabulary, its configuration and the data it came from."""

    captioner: Captioner
    vocabulary: Vocabulary
    config: TrainConfig
    training: dict[str, Any]


def build_captioner(config: TrainConfig, vocab_size: int, *, pretrained: bool = True) -> Captioner:
    """The untrained captioner that ``config`` describes."""
    encoder = build_encoder(
        config.encoder, pretrained=pretrained, image_size=config.image_size or None
    )
    decoder = build_decoder(
        config.decoder, vocab_size, encoder.channels, **config.decoder_options()
    )
    return Captioner(encoder, decoder, length_penalty=config.length_penalty, tags=config.tag_count)


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """``torch.save`` so that ``path`` always holds a whole checkpoint, the old or the new one."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read(path: Path) -> dict[str, Any]:
    """The raw content of a checkpoint; raises ``CheckpointError``."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no checkpoint {path}. Train one with: python -m training.train"
        ) from error
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint of training.train "
            f"({type(error).__name__}). Give a best.pt or last.pt."
        ) from error
    if not isinstance(content, dict) or not {"config", "itos", "model"} <= set(content):
        raise CheckpointError(f"{path} is not a checkpoint of training.train.")
    return content


def load(path: Path) -> Checkpoint:
    """Rebuild the captioner of a checkpoint, in eval mode on the CPU."""
    return rebuild(read(path))


def rebuild(content: Mapping[str, Any]) -> Checkpoint:
    """A captioner in eval mode on the CPU, from the ``config``, ``itos`` and ``model`` of one."""
    known = {item.name for item in dataclasses.fields(TrainConfig)}
    saved = {"tags": 0, **content["config"]}  # the first captioners had none
    config = TrainConfig(**{k: value for k, value in saved.items() if k in known})
    vocabulary = Vocabulary(config.freq_threshold)
    vocabulary.extend(content["itos"])
    captioner = build_captioner(config, len(vocabulary), pretrained=False)
    captioner.load_state_dict(content["model"])
    return Checkpoint(captioner.eval(), vocabulary, config, content.get("training", {}))
