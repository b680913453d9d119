"""TorchServe archives: an exported run or an earlier archive, packed with the handler."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import handler
from training.packaging.card import build_card
from training.packaging.exporting import export
from training.trainer import checkpoint
from training.trainer.checkpoint import CheckpointError
from training.trainer.start import read_start

logger = logging.getLogger(__name__)

DEFAULT_DATA_NAME = "the owner's pictures"
HANDLER = Path(handler.__file__).parent


class ArchiveError(RuntimeError):
    """The archive could not be made; the message says why."""


def archive(
    model: Path, vocabulary: Path, card: dict[str, Any], output: Path, *, version: str
) -> None:
    """Pack an exported captioner with the handler package into ``output``, a ``.mar``.

    The model's name in TorchServe is the output's name without its ending.

    Raises:
        ArchiveError: a file is missing, or torch-model-archiver refuses.
    """
    for path in (model, vocabulary):
        if not path.is_file():
            raise ArchiveError(f"There is no {path}. Make it with: python -m training.export")
    output.parent.mkdir(parents=True, exist_ok=True)
    # The archiver works in a folder named after the model in the common temporary folder, and
    # clears whatever it finds there: it gets a temporary folder of its own, on the output's disk.
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".archive-") as name:
        stage = Path(name)
        shutil.copy(model, stage / "captioner.pt")
        shutil.copy(vocabulary, stage / "vocab.json")
        (stage / "model_card.json").write_text(
            json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        shutil.copytree(
            HANDLER, stage / "extra" / "handler", ignore=shutil.ignore_patterns("__pycache__")
        )
        made = _run_archiver(stage, output.stem, version)
        os.replace(made, output)


def _run_archiver(stage: Path, name: str, version: str) -> Path:
    """Call torch-model-archiver in ``stage``, where its relative paths hold no comma or space."""
    options = {
        "--model-name": name,
        "--version": version,
        "--serialized-file": "captioner.pt",
        "--handler": "extra/handler/caption_handler.py",
        "--extra-files": "vocab.json,model_card.json,extra",
        "--config-file": "extra/handler/model-config.yaml",
        "--export-path": ".",
        # Weights hardly compress, and git stores two versions of an archive that is not compressed
        # as one and what differs.
        "--archive-format": "zip-store",
    }
    result = subprocess.run(
        [sys.executable, "-m", "model_archiver.model_packaging"]
        + [word for pair in options.items() for word in pair],
        cwd=stage,
        env={**os.environ, "TMPDIR": str(stage)},
        capture_output=True,
        text=True,
        check=False,
    )
    made = stage / f"{name}.mar"
    if result.returncode or not made.is_file():
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ArchiveError(f"torch-model-archiver failed: {reason}")
    return made


def archive_run(run: Path, output: Path, *, version: str, data_name: str) -> None:
    """Pack an exported run, with a card made from its checkpoint and its scores."""
    card = build_card(
        checkpoint.load(run / "best.pt"),
        name=output.stem,
        version=version,
        data_name=data_name,
        scores=_read_scores(run / "scores.json"),
    )
    archive(run / "captioner.pt", run / "vocab.json", card, output, version=version)


def repack(packed: Path, output: Path) -> None:
    """Export the model of an archive again, and pack it with the handler as it is now.

    Raises:
        CheckpointError: the file is not an archive of this project.
        ExportError: the exported forms differ.
    """
    if packed.suffix != ".mar":
        raise CheckpointError(f"{packed} is not an archive of this project.")
    start = read_start(packed)
    with zipfile.ZipFile(packed) as file:
        card = json.loads(file.read("model_card.json"))
    model = checkpoint.rebuild(card["configuration"], start.itos, start.weights)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(model.captioner, folder / "captioner.pt")
        model.vocabulary.save(folder / "vocab.json")
        archive(
            folder / "captioner.pt",
            folder / "vocab.json",
            card,
            output,
            version=card["version"],
        )


def _read_scores(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        logger.warning("There is no %s: the model card will have no scores.", path.name)
        return None
    scores: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return scores
