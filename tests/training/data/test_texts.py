"""Captions without pictures."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch

from handler.text import EOS
from training.data.simulation import Simulator
from training.data.splits import DataError
from training.data.texts import read_text, text_batches
from training.data.things import read_things
from training.data.vocabulary import Vocabulary


def test_a_file_holds_a_caption_a_line(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("A dog  runs.\n\n two cats\n .\n", encoding="utf-8")
    assert read_text(path) == ["A dog runs", "two cats"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), (b"\n . \n", "is empty"), (b"caf\xe9", "must be text in UTF-8")],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_text(path)


def test_batches_go_round_and_come_with_tags() -> None:
    vocabulary = Vocabulary(1)
    vocabulary.extend([*read_things().words, "runs"])
    captions = [vocabulary.encode(f"{word} runs") for word in ("dog", "cats", "bus", "taxi", "fox")]
    simulator = Simulator(vocabulary, read_things(), torch.zeros(len(vocabulary)), 3)
    torch.manual_seed(0)
    batches = list(islice(text_batches(captions, simulator, 2, 7), 6))
    assert [len(batch.captions) for batch in batches] == [2, 2, 1, 2, 2, 1]
    for epoch in (batches[:3], batches[3:]):
        assert sorted(i for batch in epoch for i in batch.indices.tolist()) == [0, 1, 2, 3, 4]
    for batch in batches:
        assert torch.equal(batch.images, torch.zeros(len(batch.captions), 1, 7))
        assert batch.words.shape == batch.probabilities.shape == (len(batch.captions), 3)
        assert (batch.captions[:, 0, -1] == EOS).all()
