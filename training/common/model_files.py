"""The one reader of what serving loads: a ``.mar`` archive, or an exported ``captioner.pt``."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from handler.engines import read_module
from handler.text import TOKENIZER, VOCABULARY, read_vocabulary, words_file
from training.common.errors import UserError

MANIFEST = "MAR-INF/MANIFEST.json"
MODULE, CARD, CONFIG = "captioner.pt", "model_card.json", "model-config.yaml"


class ModelError(UserError):
    """The file is missing, or is no model of this project; the message says what was expected."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model, which may be temporary."""

    module: Path
    vocabulary: Path  # or the tokenizer of an adopted model
    card: dict[str, Any] | None  # an exported module by itself has none
    config: Path | None = None  # TorchServe's, of an archive

    @property
    def adopted(self) -> bool:
        """Whether the model is another project's, and has no checkpoint of this one."""
        return self.vocabulary.name == TOKENIZER

    def content(self) -> dict[str, Any]:
        """What a checkpoint of this model would hold, its weights in float32 on the CPU.

        Raises:
            ModelError: no card says how the model is built, or the vocabulary is damaged.
        """
        if self.adopted:
            raise ModelError("An adopted model has no checkpoint, and cannot be trained here.")
        if self.card is None:
            raise ModelError(
                f"{self.module} does not say how its model is built. Give its archive, or the "
                "best.pt that it was exported from."
            )
        script = read_module(self.module, torch.device("cpu")).script
        try:
            itos = read_vocabulary(self.vocabulary)
        except ValueError as error:
            raise ModelError(f"{error}.") from error
        model = script.float().state_dict()
        return {"config": self.card["configuration"], "itos": itos, "model": model}


def is_checkpoint(path: Path) -> bool:
    """Whether a model file is a checkpoint, and not an archive or an exported module.

    Raises:
        ModelError: it is missing, or none of the three.
    """
    names = _names(path)
    # TorchScript keeps a module's code beside its weights; a checkpoint has none.
    return MANIFEST not in names and not any("/code/" in name for name in names)


@contextmanager
def open_model(path: Path) -> Iterator[ModelFiles]:
    """The files of an archive, unpacked until the block ends, or those of an exported module.

    Raises:
        ModelError: it is missing, or neither of the two.
    """
    if MANIFEST not in _names(path):
        if is_checkpoint(path):
            raise ModelError(f"{path} is neither a .mar archive nor an exported captioner.pt.")
        vocabulary = path.with_name(VOCABULARY)
        if not vocabulary.is_file():
            raise ModelError(f"{path.name} needs its vocabulary, but {vocabulary} is not there.")
        yield ModelFiles(path, vocabulary, None)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(path) as file:
                words = TOKENIZER if TOKENIZER in file.namelist() else VOCABULARY
                config = [CONFIG] if CONFIG in file.namelist() else []
                file.extractall(folder, [MODULE, words, CARD, *config])
        except KeyError as error:
            raise ModelError(f"{path} is not an archive of this project: {error}.") from error
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        given = folder / CONFIG if config else None
        yield ModelFiles(folder / MODULE, words_file(folder), card, given)


def _names(path: Path) -> list[str]:
    """The names in the zip file that every kind of model is."""
    if not path.is_file():
        raise ModelError(f"There is no model {path}. Train one with: python -m training.train")
    try:
        with zipfile.ZipFile(path) as file:
            return file.namelist()
    except zipfile.BadZipFile as error:
        raise ModelError(
            f"{path} is neither a .mar archive nor a .pt file of this project."
        ) from error
