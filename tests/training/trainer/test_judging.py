"""Judging a captioner on the dev split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.drawn import drawings
from tests.training.tiny import IMAGE_SIZE, tiny_captioner
from training.data.batches import CaptionDataset, get_loader
from training.data.splits import Example
from training.data.vocabulary import Vocabulary
from training.trainer.config import TrainConfig
from training.trainer.judging import Judge
from training.trainer.optimisation import TrainingError

# Of as many words as pictures have, or of one: a batch's mean is not the mean of its words.
CAPTIONS = ("a red circle on white", "a", "a green square")


@pytest.fixture(scope="module", autouse=True)
def _steady_scores() -> None:
    """The scores as they are, in place of those of the other modules."""


@pytest.fixture
def dataset(tmp_path: Path) -> CaptionDataset:
    drawn = zip(drawings([0]), CAPTIONS, strict=False)
    examples = [Example(d.save(tmp_path), (caption,), d.name) for d, caption in drawn]
    vocabulary = Vocabulary(1).build(CAPTIONS)
    return CaptionDataset(examples, vocabulary, image_size=IMAGE_SIZE)


def judge(dataset: CaptionDataset, batch_size: int, others: dict[str, Any] | None = None) -> Judge:
    config = TrainConfig(beam_size=2, max_length=5)
    loader = get_loader(dataset, batch_size=batch_size)
    return Judge(loader, config, torch.device("cpu"), others)


def test_the_loss_weighs_words_not_batches(dataset: CaptionDataset) -> None:
    captioner = tiny_captioner("attention", vocab_size=len(dataset.vocabulary))
    loss, captions = judge(dataset, 3).caption(captioner)
    in_parts, same = judge(dataset, 1).caption(captioner)
    assert in_parts == pytest.approx(loss, abs=1e-5)
    assert captions == same
    assert list(captions) == [example.name for example in dataset.examples]


def test_scores_are_those_of_a_captioner_that_does_not_drop_out(dataset: CaptionDataset) -> None:
    captioner = tiny_captioner("attention", vocab_size=len(dataset.vocabulary)).train()
    scores = judge(dataset, 2)(captioner)
    assert set(scores) == {"loss_dev", "cider", *(f"bleu_{n}" for n in range(1, 5))}
    assert not captioner.decoder.training
    assert scores["loss_dev"] == judge(dataset, 2).caption(captioner)[0]


def test_other_sets_count_as_much_as_the_dev_split(dataset: CaptionDataset) -> None:
    captioner = tiny_captioner("attention", vocab_size=len(dataset.vocabulary))
    others = [replace(e, captions=("a blue square",)) for e in dataset.examples]
    other = CaptionDataset(others, dataset.vocabulary, image_size=IMAGE_SIZE)
    alone, apart = judge(dataset, 3)(captioner), judge(other, 3)(captioner)
    both = judge(dataset, 3, {"own": get_loader(other, batch_size=2)})(captioner)
    assert alone["cider"] != apart["cider"]
    mean = (alone["cider"] + apart["cider"]) / 2
    expected = {"cider": mean, "cider_dev": alone["cider"], "cider_own": apart["cider"]}
    assert both == pytest.approx({**alone, **expected})


def test_examples_stand_beside_a_reference(dataset: CaptionDataset) -> None:
    captioner = tiny_captioner("attention", vocab_size=len(dataset.vocabulary)).train()
    lines = judge(dataset, 2).examples(captioner).splitlines()
    assert [line.endswith(f"({caption})") for line, caption in zip(lines, CAPTIONS, strict=True)]
    assert captioner.decoder.training


def test_a_loss_that_is_not_finite_is_no_score(dataset: CaptionDataset) -> None:
    captioner = tiny_captioner("lstm", vocab_size=len(dataset.vocabulary))
    captioner.decoder.output.weight.data.fill_(float("nan"))
    with pytest.raises(TrainingError, match="dev split"):
        judge(dataset, 3).caption(captioner)
