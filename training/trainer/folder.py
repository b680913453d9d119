"""The folder of a training run: where it stands, its checkpoints, its history and its curves."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from training.common import parallel
from training.data.splits import Example, Split
from training.data.vocabulary import Vocabulary
from training.model.captioner import Captioner
from training.trainer import checkpoint
from training.trainer.config import TrainConfig
from training.trainer.optimisation import TrainingError
from training.trainer.start import Start

logger = logging.getLogger(__name__)

BEST = "best.pt"  # of all epochs, by dev CIDEr
LAST = "last.pt"  # with all that is needed to resume
START = "start.pt"  # what --init gave
BEFORE = "before-scst.pt"  # best.pt as self-critical training found it


@dataclass
class Position:
    """Where a run stands; saved with every checkpoint."""

    phase: int = 0
    epoch: int = 0  # finished epochs of this phase
    total_epochs: int = 0  # finished epochs of all phases
    best: float = -math.inf  # dev CIDEr of best.pt
    since_best: int = 0  # epochs
    seconds: float = 0.0  # spent on finished epochs
    before: float | None = None  # dev CIDEr of the weights that training started from

    def finish_epoch(self, cider: float) -> bool:
        """Count an epoch; returns whether it is the best one so far."""
        better = cider > self.best
        self.epoch += 1
        self.total_epochs += 1
        self.best = max(self.best, cider)
        self.since_best = 0 if better else self.since_best + 1
        return better


class RunFolder:
    """Writes a run's files and resumes from them. Of several processes, the main one writes, and
    reads for all."""

    def __init__(
        self,
        path: Path,
        config: TrainConfig,
        vocabulary: Vocabulary,
        splits: Mapping[Split, Sequence[Example]],
        start: Start | None,
    ) -> None:
        self.path = path
        self.position = Position()
        self._config = config
        self._vocabulary = vocabulary
        self._pictures = {split: len(examples) for split, examples in splits.items()}
        self._start = start.name if start else None
        self._writer: SummaryWriter | None = None

    def open(self) -> None:
        """Write what describes the run; of an earlier history, keep the finished epochs."""
        if not parallel.is_main():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        self._vocabulary.save(self.path / "vocab.json")
        self._config.save(self.path / "config.json")
        history = self.path / "history.jsonl"
        lines = history.read_text(encoding="utf-8").splitlines(True) if history.exists() else []
        history.write_text("".join(lines[: self.position.total_epochs]), encoding="utf-8")
        self._writer = SummaryWriter(str(self.path / "tensorboard"))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def plot(self, name: str, value: float, step: int) -> None:
        """Add a point to a curve of TensorBoard."""
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def show(self, name: str, text: str, step: int) -> None:
        """Add Markdown to TensorBoard."""
        if self._writer is not None:
            self._writer.add_text(name, text, step)

    def record(self, phase: str, scores: Mapping[str, float]) -> bool:
        """Log an epoch that ended with ``scores``; returns whether it is the best one so far."""
        better = self.position.finish_epoch(scores["cider"])
        epoch = self.position.total_epochs
        for name, value in scores.items():
            self.plot(f"epoch/{name}", value, epoch)
        if parallel.is_main():
            with (self.path / "history.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"epoch": epoch, "phase": phase, **scores}) + "\n")
        logger.info("epoch %d (%s): %s%s", epoch, phase, listed(scores), " *" if better else "")
        return better

    def save(self, captioner: Captioner, name: str, **more: Any) -> None:
        """Write a checkpoint, with ``more`` in it, so that its file is always whole."""
        training = {
            "position": dataclasses.asdict(self.position),
            "pictures": self._pictures,
            "start": self._start,
        }
        content = {
            "model": captioner.state_dict(),
            "itos": self._vocabulary.itos,
            "config": dataclasses.asdict(self._config),
            "training": training,
            **more,
        }
        if parallel.is_main():
            checkpoint.save_atomically(content, self.path / name)

    def has(self, name: str) -> bool:
        """Whether there is a checkpoint of that name."""
        return parallel.broadcast((self.path / name).exists())

    def read(self, name: str) -> dict[str, Any]:
        """A checkpoint's content; raises ``CheckpointError``."""
        return parallel.broadcast(checkpoint.read(self.path / name) if parallel.is_main() else {})

    def restore(self, captioner: Captioner) -> dict[str, Any]:
        """Go back to where last.pt was written; returns its content.

        Raises:
            CheckpointError: it is damaged.
            TrainingError: it is of a run with another configuration or other data.
        """
        saved, config = self.read(LAST), dataclasses.asdict(self._config)
        if saved["config"] != config:
            changed = [name for name, value in saved["config"].items() if config.get(name) != value]
            raise TrainingError(
                f"--resume continues the run in {self.path.name} with its own configuration, but "
                f"{', '.join(changed)} differ. Repeat the options that started it."
            )
        if saved["itos"] != self._vocabulary.itos:
            raise TrainingError(
                "--resume needs the data that the run started with, but their vocabularies differ."
            )
        captioner.load_state_dict(saved["model"])
        self.position = Position(**saved["training"]["position"])
        logger.info("Resuming after epoch %d.", self.position.total_epochs)
        return saved


def listed(scores: Mapping[str, float]) -> str:
    """Scores in a line of the log."""
    return " ".join(f"{name} {value:.4f}" for name, value in scores.items())
