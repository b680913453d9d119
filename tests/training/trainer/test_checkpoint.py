"""Checkpoints: whole, or as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from training.trainer import checkpoint
from training.trainer.checkpoint import CheckpointError

CONTENT: dict[str, Any] = {"config": {}, "itos": ["a"], "model": {"weight": torch.arange(3)}}


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    checkpoint.save_atomically(CONTENT, tmp_path / "last.pt")
    read = checkpoint.read(tmp_path / "last.pt")
    assert torch.equal(read["model"].pop("weight"), torch.arange(3))
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_write_that_ends_halfway_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save_atomically(CONTENT, path)
    before = path.read_bytes()

    def half(content: dict[str, Any], file: Any) -> None:
        file.write(before[: len(before) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save_atomically(CONTENT, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"half of a checkpoint", None, {"weights": 1}])
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "other.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"other\.pt"):
        checkpoint.read(path)
