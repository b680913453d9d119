"""The shipped captioner in the forms that the peers run."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path

import torch

from handler.captioner import Captioner as Exported
from handler.text import EOS, PAD, detokenise
from training.model.captioner import Captioner
from training.trainer import checkpoint
from training.trainer.start import read_start

ARCHIVE = Path(__file__).resolve().parents[2] / "model_store" / "captioner.mar"


def eager(archive: Path = ARCHIVE) -> tuple[Captioner, list[str]]:
    """The PyTorch module that was trained, and its words."""
    start = read_start(archive)
    with zipfile.ZipFile(archive) as file:
        card = json.loads(file.read("model_card.json"))
    rebuilt = checkpoint.rebuild(card["configuration"], start.itos, start.weights)
    return rebuilt.captioner, rebuilt.vocabulary.itos


def exported(archive: Path = ARCHIVE) -> Exported:
    """The exported captioner as our own handler loads it, by the fastest engine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder, ["captioner.pt", "vocab.json"])
        return Exported(folder / "captioner.pt", folder / "vocab.json", torch.device("cpu"))


def sentence(tokens: torch.Tensor, itos: list[str]) -> str:
    """The words ``[T]`` as a sentence."""
    return detokenise([itos[token] for token in tokens.tolist() if token not in (PAD, EOS)])
