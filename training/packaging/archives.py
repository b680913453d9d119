"""TorchServe archives: an exported run or an earlier archive, packed with the handler."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import handler
from training.common.errors import UserError
from training.common.model_files import CARD, MODULE, VOCABULARY, open_model
from training.data.splits import Example, Split
from training.packaging.calibration import calibrate_checkpoint
from training.packaging.card import build_card
from training.packaging.evaluation import evaluate, write_json
from training.packaging.exporting import export, export_checkpoint
from training.packaging.inference import load_model
from training.packaging.label import Label
from training.trainer import checkpoint
from training.trainer.folder import BEST

logger = logging.getLogger(__name__)

SCORES = "scores.json"
HANDLER = Path(handler.__file__).parent


class ArchiveError(UserError):
    """The archive could not be made; the message says why."""


def archive(model: Path, vocabulary: Path, card: dict[str, Any], output: Path) -> None:
    """Pack an exported captioner with the handler package into ``output``, a ``.mar``.

    Args:
        card: of the model; its ``name`` and ``version`` are those that TorchServe knows it by.

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
        shutil.copy(model, stage / MODULE)
        shutil.copy(vocabulary, stage / VOCABULARY)
        (stage / CARD).write_text(
            json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        shutil.copytree(
            HANDLER, stage / "extra" / "handler", ignore=shutil.ignore_patterns("__pycache__")
        )
        os.replace(_run_archiver(stage, card["name"], card["version"]), output)
    logger.info("Wrote %s (%.1f MB).", output, output.stat().st_size / 1e6)


def _run_archiver(stage: Path, name: str, version: str) -> Path:
    """Call torch-model-archiver in ``stage``, where its relative paths hold no comma or space."""
    options = {
        "--model-name": name,
        "--version": version,
        "--serialized-file": MODULE,
        "--handler": "extra/handler/caption_handler.py",
        "--extra-files": f"{VOCABULARY},{CARD},extra",
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


def archive_run(run: Path, output: Path, label: Label) -> None:
    """Pack an exported run, with a card made from its checkpoint and its scores."""
    card = build_card(checkpoint.load(run / BEST), label, _read_scores(run / SCORES))
    archive(run / MODULE, run / VOCABULARY, card, output)


def package_run(
    run: Path,
    splits: dict[Split, list[Example]],
    output: Path,
    label: Label,
    *,
    device: torch.device,
    strict: bool,
) -> None:
    """Calibrate, export, score on the dev split and pack a run that has ended.

    Raises:
        UserError: a step cannot be done; the archive is not written then.
    """
    calibrate_checkpoint(run / BEST, splits, device=device, strict=strict)
    export_checkpoint(run / BEST, run / MODULE)
    report, _ = evaluate(load_model(run / MODULE, device), splits, strict=strict)
    write_json(report, run / SCORES)
    archive_run(run, output, label)


def repack(packed: Path, output: Path) -> None:
    """Export the model of an archive again, and pack it with the handler as it is now.

    Its card stays, and with it the name and the version of the model.

    Raises:
        ModelError: the file is not an archive of this project.
        ExportError: the exported forms differ.
    """
    with open_model(packed) as files, tempfile.TemporaryDirectory() as name:
        content, module = files.content(), Path(name, MODULE)
        export(checkpoint.rebuild(content).captioner, module)
        archive(module, files.vocabulary, files.card or {}, output)


def _read_scores(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        logger.warning("There is no %s: the model card will have no scores.", path.name)
        return None
    scores: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return scores
