"""The shipped captioner in the forms that the peers run."""

from __future__ import annotations

from pathlib import Path

import torch

from handler.captioner import Captioner as Exported
from handler.text import EOS, PAD, detokenise
from training.common.model_files import open_model
from training.model.captioner import Captioner
from training.trainer import checkpoint

ARCHIVE = Path(__file__).resolve().parents[2] / "model_store" / "captioner.mar"


def eager(archive: Path = ARCHIVE) -> tuple[Captioner, list[str]]:
    """The PyTorch module that was trained, and its words."""
    with open_model(archive) as files:
        rebuilt = checkpoint.rebuild(files.content())
    return rebuilt.captioner, rebuilt.vocabulary.itos


def exported(archive: Path = ARCHIVE) -> Exported:
    """The exported captioner as our own handler loads it, by the fastest engine."""
    with open_model(archive) as files:
        return Exported(files.module, files.vocabulary, torch.device("cpu"))


def sentence(tokens: torch.Tensor, itos: list[str]) -> str:
    """The words ``[T]`` as a sentence."""
    return detokenise([itos[token] for token in tokens.tolist() if token not in (PAD, EOS)])
