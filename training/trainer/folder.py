"""The folder of a training run: its checkpoints, its history, its TensorBoard log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from training.common import parallel
from training.data.vocabulary import Vocabulary
from training.trainer import checkpoint
from training.trainer.config import TrainConfig

BEST = "best.pt"  # of all epochs, by dev CIDEr
LAST = "last.pt"  # with all that is needed to go on
BEFORE = "before-scst.pt"  # best.pt as self-critical training found it


class RunFolder:
    """Of several processes, the main one writes, and reads for all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: SummaryWriter | None = None

    def open(self, vocabulary: Vocabulary, config: TrainConfig, epochs: int) -> None:
        """Write what describes the run; of an earlier history, keep the ``epochs`` finished."""
        if not parallel.is_main():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        vocabulary.save(self.path / "vocab.json")
        config.save(self.path / "config.json")
        history = self.path / "history.jsonl"
        lines = history.read_text(encoding="utf-8").splitlines(True) if history.exists() else []
        history.write_text("".join(lines[:epochs]), encoding="utf-8")
        self._writer = SummaryWriter(str(self.path / "tensorboard"))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def append_history(self, line: dict[str, Any]) -> None:
        """Add an epoch to history.jsonl."""
        if parallel.is_main():
            with (self.path / "history.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def plot(self, name: str, value: float, step: int) -> None:
        """Add a point to a curve of TensorBoard."""
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def show(self, name: str, text: str, step: int) -> None:
        """Add Markdown to TensorBoard."""
        if self._writer is not None:
            self._writer.add_text(name, text, step)

    def save(self, content: dict[str, Any], name: str) -> None:
        """Write a checkpoint, so that its file is always whole."""
        if parallel.is_main():
            checkpoint.save_atomically(content, self.path / name)

    def has(self, name: str) -> bool:
        """Whether there is a checkpoint of that name."""
        return parallel.agree((self.path / name).exists())

    def read(self, name: str) -> dict[str, Any]:
        """A checkpoint's content; raises ``CheckpointError``."""
        return parallel.agree(checkpoint.read(self.path / name) if parallel.is_main() else {})
