"""TorchServe archives: an exported run or an earlier archive, packed with the handler."""

from __future__ import annotations

import itertools
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import handler
from handler.engines import read_module
from handler.text import VOCABULARY
from training.common.errors import UserError
from training.common.model_files import CARD, CONFIG, MODULE, open_model
from training.data.splits import Example, Split
from training.packaging.calibration import calibrate_checkpoint
from training.packaging.card import build_card
from training.packaging.evaluation import evaluate, write_json
from training.packaging.exporting import export, export_checkpoint, photos
from training.packaging.inference import load_model
from training.packaging.integer_graph import measured_of
from training.packaging.label import Label
from training.trainer import checkpoint
from training.trainer.folder import BEST

logger = logging.getLogger(__name__)

SCORES = "scores.json"
HANDLER = Path(handler.__file__).parent


class ArchiveError(UserError):
    """The archive could not be made; the message says why."""


def archive(
    model: Path,
    vocabulary: Path,
    card: dict[str, Any],
    output: Path,
    config: Path = HANDLER / CONFIG,
) -> None:
    """Pack an exported captioner with the handler package into ``output``, a ``.mar``.

    Args:
        vocabulary: or the tokenizer of an adopted model; its file keeps its name.
        card: of the model; its ``name`` and ``version`` are those that TorchServe knows it by.
        config: how TorchServe runs it.

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
        shutil.copy(vocabulary, stage)
        shutil.copy(config, stage / CONFIG)
        (stage / CARD).write_text(
            json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        shutil.copytree(
            HANDLER, stage / "extra" / "handler", ignore=shutil.ignore_patterns("__pycache__")
        )
        os.replace(_run_archiver(stage, vocabulary.name, card), output)
    logger.info("Wrote %s (%.1f MB).", output, output.stat().st_size / 1e6)


def _run_archiver(stage: Path, words: str, card: dict[str, Any]) -> Path:
    """Call torch-model-archiver in ``stage``, where its relative paths hold no comma or space."""
    name = card["name"]
    options = {
        "--model-name": name,
        "--version": card["version"],
        "--serialized-file": MODULE,
        "--handler": "extra/handler/caption_handler.py",
        "--extra-files": f"{words},{CARD},extra",
        "--config-file": CONFIG,
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
    pictures = [example.path for example in splits["train"]]
    export_checkpoint(run / BEST, run / MODULE, pictures=pictures)
    report, _ = evaluate(load_model(run / MODULE, device), splits["dev"], strict=strict)
    write_json({"split": "dev", **report}, run / SCORES)
    archive_run(run, output, label)


def repack(packed: Path, output: Path, pictures: Sequence[Path] = ()) -> None:
    """Export the model of an archive again, and pack it with the handler as it is now.

    Its encoder goes on to compute with integers if it did, or does so from now on if there are
    ``pictures``, photos such as it was trained on. An adopted model keeps its module, for nothing
    here could export it again. The card and the weights stay, and with the card the name and the
    version of the model. What ``output`` held before is kept beside it as ``.mar.old``, which
    nothing serves.

    Raises:
        ModelError: the file is not an archive of this project.
        ExportError: the exported forms differ.
    """
    with open_model(packed) as files, tempfile.TemporaryDirectory() as name:
        module = files.module
        if not files.adopted:
            module = Path(name, MODULE)
            captioner = checkpoint.rebuild(files.content()).captioner
            batches = photos(pictures, captioner.image_size)
            measured = measured_of(read_module(files.module, torch.device("cpu")).integer_graph)
            export(captioner, module, integers=batches or measured)
        if output.exists():
            old = _free(output.with_name(f"{output.name}.old"))
            shutil.copy2(output, old)
            logger.info("Kept the file of before as %s.", old)
        # How an adopted model is run was fitted to its speed.
        config = files.config if files.adopted and files.config else HANDLER / CONFIG
        archive(module, files.vocabulary, files.card or {}, output, config)
    logger.info("What runs goes on with the old code until Captionize is started again.")


def renew_folder(folder: Path) -> None:
    """Pack every archive of this project in a folder again whose handler is not that of now.

    Raises:
        ArchiveError: some could not be packed again; the others have been.
    """
    failed = []
    for path in sorted(folder.glob("*.mar")):
        if (handler := _handler_in(path)) is None:
            logger.info("%s is left as it is: it has no handler of Captionize.", path.name)
        elif handler == _handler_now():
            logger.info("%s is up to date.", path.name)
        else:
            try:
                repack(path, path)
            except UserError as error:
                failed.append(f"{path.name}: {error}")
    if failed:
        raise ArchiveError("Not packed again. " + " ".join(failed))


def _handler_in(packed: Path) -> dict[str, bytes] | None:
    """The files of the handler in an archive; None where it has none of this project's."""
    try:
        with zipfile.ZipFile(packed) as file:
            names = [name for name in file.namelist() if name.startswith("handler/")]
            found = {name.removeprefix("handler/"): file.read(name) for name in names}
    except (zipfile.BadZipFile, OSError):
        return None
    return found if "caption_handler.py" in found else None


def _handler_now() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in HANDLER.iterdir() if path.is_file()}


def _free(path: Path) -> Path:
    """This path, or the first free one with a number after it."""
    numbered = (path.with_name(f"{path.name}{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], numbered) if not one.exists())


def _read_scores(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        logger.warning("There is no %s: the model card will have no scores.", path.name)
        return None
    scores: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return scores
