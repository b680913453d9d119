"""What the tests of the trainer share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

from tests.training.drawn import drawings
from tests.training.trainer.runs import SMALL, Splits
from training.data.splits import Example
from training.metrics import coco
from training.trainer.config import TrainConfig
from training.trainer.judging import Judge
from training.trainer.trainer import Trainer


@pytest.fixture(scope="module", autouse=True)
def _steady_scores() -> Iterator[None]:
    """Scores without Java, and a CIDEr that grows whenever the loss falls."""

    def split(captions: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        return {name: list(each) for name, each in captions.items()}

    plain = Judge._scores

    def steady(*arguments: Any) -> dict[str, float]:
        scores = plain(*arguments)
        return {**scores, "cider": 1 / scores["loss_dev"]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco, "tokenise_ptb", split)
        patch.setattr(Judge, "_scores", steady)
        yield


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    folder = tmp_path_factory.mktemp("pictures")

    def examples(place: int) -> list[Example]:
        return [Example(d.save(folder), d.captions, d.name) for d in drawings([place])]

    return {"train": examples(-6) + examples(6), "dev": examples(0), "test": []}


@pytest.fixture
def make(splits: Splits, tmp_path: Path) -> Callable[..., Trainer]:
    """Make a trainer in the test's own folder."""

    def build(
        run: str = "run",
        *,
        data: Splits = splits,
        more: Mapping[str, Any] = MappingProxyType({}),
        **options: Any,
    ) -> Trainer:
        config = TrainConfig(**{**SMALL, **options})
        cache, device = tmp_path / "cache", torch.device("cpu")
        return Trainer(config, data, tmp_path / run, cache, device=device, **more)

    return build
