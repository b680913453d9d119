"""The benchmark of training, at a size that says nothing about speed."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from benchmarks import training
from benchmarks.measuring import Task, alternate
from benchmarks.pictures import CAPTIONS
from training.model.encoders import Encoder
from training.trainer.config import TrainConfig

SMALL = [
    *("--pictures", "4", "--plain-pictures", "2", "--rounds", "2", "--image-size", "32"),
    *("--encoder", "efficientnet_lite0"),
    *("--plain-encoders", "efficientnet_lite0", "efficientnet_lite2"),
]
NUMBER = r"\d+\.\d \(\d+\.\d to \d+\.\d\)"


@pytest.mark.slow
def test_the_report_says_what_was_compared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    plain = Encoder.forward

    def counted(self: Encoder, images: Tensor) -> Tensor:
        encoded.append(len(images))
        return plain(self, images)

    monkeypatch.setattr(Encoder, "forward", counted)
    assert training.main(SMALL) == 0

    rounds, views = 1 + 2, TrainConfig().views  # the first one is not counted
    plain_loops = rounds * 2 * 2 * CAPTIONS  # two loops over two pictures
    assert sum(encoded) == plain_loops + (1 + rounds) * 4 * views

    machine, _, header, ruler, *rows, _, features, target = capsys.readouterr().out.splitlines()
    version = re.escape(torch.__version__)
    assert re.fullmatch(rf".+, \d+ cores, \d+ threads, .+, torch {version}; 2 rounds\.", machine)
    assert header.endswith(" | times the plain loop, efficientnet_lite0 |")
    assert ruler == "| --- | ---: | ---: |"
    names = [
        "plain loop, efficientnet_lite0",
        "plain loop, efficientnet_lite2",
        r"trainer, efficientnet_lite0, cached features, (bfloat16|float32)",
        f"the same, and the features' cost over {TrainConfig().epochs} epochs",
    ]
    for name, row in zip(names, rows, strict=True):
        assert re.fullmatch(rf"\| {name} \| {NUMBER} \| {NUMBER} \|", row)
    assert rows[0].endswith(" | 1.0 (1.0 to 1.0) |")
    assert re.fullmatch(rf"Features of {views} views of a picture: {NUMBER} pictures/s\.", features)
    assert re.fullmatch(r"Target, .+: 20 times the plain loop\. (Met|Not met): .+ times\.", target)


def test_tasks_take_turns_and_the_first_round_does_not_count() -> None:
    turns: list[str] = []
    tasks = [Task(name, 3, lambda name=name: turns.append(name)) for name in "ab"]
    rates = alternate(tasks, 2)
    assert turns == ["a", "b"] * 3
    assert {name: len(found) for name, found in rates.items()} == {"a": 2, "b": 2}


def test_features_cost_less_the_more_epochs_share_them() -> None:
    result = training.Result({"plain": [2.0]}, cached=[60.0], features=[30.0])
    assert result.whole(1) == pytest.approx([20.0])
    assert result.whole(4) == pytest.approx([40.0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--plain-pictures", "9"], "--plain-pictures must be at most --pictures, 4, but is 9."),
        (["--rounds", "0"], "must be a whole number between 1 and 1000000, but is 0."),
    ],
)
def test_bad_options_are_named(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        training.main([*SMALL, *words])
    assert said in capsys.readouterr().err


def test_an_unknown_encoder_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert training.main([*SMALL, "--encoder", "nonsense"]) == 1
    assert "error: Unknown encoder 'nonsense'" in capsys.readouterr().err
