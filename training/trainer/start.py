"""Weights to start from: those of an archive or a checkpoint, for more words than it knew."""

from __future__ import annotations

import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handler.text import read_vocabulary
from training.model.captioner import Captioner
from training.trainer import checkpoint
from training.trainer.checkpoint import CheckpointError

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
    """Read a ``.mar`` archive of this project, or a checkpoint of ``training.train``.

    Raises:
        CheckpointError: it is neither.
    """
    if path.suffix != ".mar":
        content = checkpoint.read(path)
        return Start(path.name, content["model"], content["itos"], _pick(content["config"]))
    names = ["captioner.pt", "vocab.json", "model_card.json"]
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as file:
                file.extractall(folder, names)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path} is not an archive of this project: {error}") from error
        module, vocabulary, card = (Path(folder, name) for name in names)
        weights = torch.jit.load(str(module), map_location="cpu").float().state_dict()
        trained = json.loads(card.read_text(encoding="utf-8"))
        return Start(
            path.name, weights, read_vocabulary(vocabulary), _pick(trained["configuration"])
        )


def _pick(config: dict[str, Any]) -> dict[str, Any]:
    return {name: config[name] for name in ARCHITECTURE}


@torch.no_grad()
def take_over(captioner: Captioner, start: Start) -> None:
    """Copy the weights of ``start`` into ``captioner``, whose vocabulary begins with its words.

    What belongs to a word (rows of the embedding and of the output layer) starts, for a new word,
    as the mean over the known ones beside the noise it was made with: unlikely, but not absurd.
    """
    known = len(start.itos)
    for name, ours in captioner.state_dict().items():
        theirs = start.weights.get(name)
        # Masks are of the vocabulary's own size; a calibration is the old captions'.
        if theirs is None or name.startswith(("forbidden", "calibration.")):
            continue
        if ours.shape == theirs.shape:
            ours.copy_(theirs)
        else:
            ours[known:] *= theirs.std() / ours.std().clamp(min=1e-6)
            ours[known:] += theirs.mean(0)
            ours[:known] = theirs
