"""Weights to start from: those of an archive or a checkpoint, for more words than it knew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.common.model_files import is_checkpoint, open_model
from training.model.captioner import Captioner
from training.model.encoders import has_classifier
from training.trainer import checkpoint

# The fields of TrainConfig that decide the shapes of the weights.
ARCHITECTURE = (
    "encoder",
    "image_size",
    "decoder",
    "embed_size",
    "hidden_size",
    "num_layers",
    "heads",
)


@dataclass(frozen=True)
class Start:
    """A trained captioner's weights, words and architecture."""

    name: str  # of its file
    weights: dict[str, Tensor]
    itos: list[str]
    architecture: dict[str, Any]  # fields of TrainConfig


def read_start(path: Path) -> Start:
    """Read an archive of this project, or a checkpoint of ``training.train``.

    Raises:
        ModelError, CheckpointError: it is neither.
    """
    if is_checkpoint(path):
        content = checkpoint.read(path)
    else:
        with open_model(path) as files:
            content = files.content()
    config = content["config"]
    architecture = {name: config[name] for name in ARCHITECTURE}
    if config.get("tags") or not has_classifier(config["encoder"]):
        architecture["tags"] = config.get("tags", 0)  # else they may be gained
    return Start(path.name, content["model"], content["itos"], architecture)


@torch.no_grad()
def initialise_from(captioner: Captioner, start: Start) -> None:
    """Copy the weights of ``start`` into ``captioner``, whose vocabulary begins with its words.

    What belongs to a word (rows of the embedding and of the output layer) starts, for a new word,
    as the mean over the known ones beside the noise it was made with: unlikely, but not absurd.
    Rules of words, and what they mean, are those of ``start`` for its words; what it lacks (tags,
    where it had none) stays as ``captioner`` has it.
    """
    known = len(start.itos)
    # Masks are of the vocabulary's own size; a calibration is the old captions'.
    own = ["forbidden", "calibration."] + ["tagger."] * (not start.architecture.get("tags"))
    for name, ours in captioner.state_dict().items():
        theirs = start.weights.get(name)
        if theirs is None or name.startswith(tuple(own)):
            continue
        if ours.shape == theirs.shape:
            ours.copy_(theirs)
        elif name.startswith(("rules.", "tagger.")):  # tables of words
            ours[:known] = theirs
        else:
            ours[known:] *= theirs.std() / ours.std().clamp(min=1e-6)
            ours[known:] += theirs.mean(0)
            ours[:known] = theirs
