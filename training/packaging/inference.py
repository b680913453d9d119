"""Captions of picture files from a checkpoint, an exported module or an archive."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from handler.decode import decode
from handler.errors import PictureError
from handler.text import EOS, PAD, detokenise, read_vocabulary

BATCH_SIZE = 16


class ModelError(RuntimeError):
    """The model cannot be loaded; the message says what was expected."""


@dataclass(frozen=True)
class Caption:
    """One sentence for a picture."""

    text: str
    log_probability: float  # natural logarithm, of the whole sentence with its <EOS>
    confidence: float  # 0 to 1: see training.calibration


@dataclass(frozen=True)
class Result:
    """The captions of one file, best first, or the reason why there are none."""

    path: Path
    captions: list[Caption]
    error: str | None = None


@dataclass(frozen=True)
class Model:
    """A captioner ready to run, with the words of its vocabulary by id."""

    module: nn.Module
    itos: list[str]
    image_size: int  # pixels
    device: torch.device


def load_model(
    path: Path, *, vocabulary: Path | None = None, device: torch.device | str = "cpu"
) -> Model:
    """Load a ``.mar`` archive, an exported ``captioner.pt`` or a checkpoint of ``training.train``.

    Args:
        vocabulary: the ``vocab.json`` of an exported module; by default the one beside it.

    Raises:
        ModelError: the file is missing or is none of these.
    """
    device = torch.device(device)
    if not path.is_file():
        raise ModelError(f"There is no model {path}.")
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path} is neither a .mar archive nor a .pt file of this project.")
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
        if "MAR-INF/MANIFEST.json" in names:
            if not {"captioner.pt", "vocab.json"} <= set(names):
                raise ModelError(f"{path.name} holds no captioner.pt and vocab.json.")
            with tempfile.TemporaryDirectory() as folder:
                file.extractall(folder, ["captioner.pt", "vocab.json"])
                return _load_exported(Path(folder, "captioner.pt"), None, device)
    if any("/code/" in name for name in names):
        return _load_exported(path, vocabulary, device)
    from training.trainer import checkpoint

    trained = checkpoint.load(path)
    captioner = trained.captioner.to(device)
    return Model(captioner, trained.vocabulary.itos, captioner.image_size, device)


def _load_exported(path: Path, vocabulary: Path | None, device: torch.device) -> Model:
    vocabulary = vocabulary or path.with_name("vocab.json")
    if not vocabulary.is_file():
        raise ModelError(f"The vocabulary {vocabulary} of {path.name} is not there.")
    try:
        itos = read_vocabulary(vocabulary)
    except ValueError as error:
        raise ModelError(f"{error}.") from error
    module = torch.jit.load(str(path), map_location=device).float().eval()
    if len(itos) != module.vocab_size:
        raise ModelError(
            f"{vocabulary.name} has {len(itos)} tokens, but {path.name} has {module.vocab_size}: "
            "they belong to different models."
        )
    return Model(module, itos, int(module.image_size), device)


def inference(
    pictures: Path | Sequence[Path],
    model: Model | Path,
    *,
    device: torch.device | str = "cpu",
    vocabulary: Path | None = None,
    beam_size: int = 3,
    num_captions: int = 1,
    max_length: int = 20,
) -> Iterator[Result]:
    """Caption picture files, in order and in batches; an unreadable one fails alone.

    Args:
        model: a loaded model, or what ``load_model`` takes (with ``device`` and ``vocabulary``).
        num_captions: sentences for each picture, at most ``beam_size``.

    Raises:
        ModelError: the model cannot be loaded.
    """
    if isinstance(model, Path):
        model = load_model(model, vocabulary=vocabulary, device=device)
    paths = [pictures] if isinstance(pictures, Path) else list(pictures)
    for start in range(0, len(paths), BATCH_SIZE):
        chunk = paths[start : start + BATCH_SIZE]
        decoded = [_read(path, model.image_size) for path in chunk]
        readable = [pixels for pixels in decoded if isinstance(pixels, Tensor)]
        captions = iter(
            _caption(model, torch.stack(readable), beam_size, max_length) if readable else ()
        )
        for path, pixels in zip(chunk, decoded, strict=True):
            if isinstance(pixels, Tensor):
                yield Result(path, next(captions)[:num_captions])
            else:
                yield Result(path, [], pixels)


def _read(path: Path, image_size: int) -> Tensor | str:
    """The picture ``[3, S, S]``, or what is wrong with it."""
    try:
        return decode(path.read_bytes(), image_size).pixels
    except PictureError as error:
        return error.message
    except OSError as error:
        return f"The file cannot be read ({error.strerror})."


@torch.inference_mode()
def _caption(model: Model, images: Tensor, beam_size: int, max_length: int) -> list[list[Caption]]:
    found = model.module(images.to(model.device), beam_size, max_length, False)
    tokens, log_probs = found[:2]
    totals = log_probs.sum(-1)  # (B, K)
    # Modules exported before confidence was a result of its own have the geometric mean.
    confidences = found[3] if len(found) > 3 else (totals / (tokens != PAD).sum(-1)).exp()
    return [
        [
            Caption(
                detokenise([model.itos[i] for i in row if i not in (PAD, EOS)]), total, confidence
            )
            for row, total, confidence in zip(*rows, strict=True)
        ]
        for rows in zip(tokens.tolist(), totals.tolist(), confidences.tolist(), strict=True)
    ]
