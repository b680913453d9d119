"""The configuration: its ranges, its presets and its command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from training.common.errors import OptionError
from training.train import build_parser, main
from training.trainer.config import (
    NEEDS,
    PRESETS,
    TrainConfig,
    add_config_arguments,
    config_from_arguments,
)


def parse(line: str) -> TrainConfig:
    parser = argparse.ArgumentParser()
    add_config_arguments(parser)
    return config_from_arguments(parser.parse_args(shlex.split(line)))


# Options that are out of range, and the one that the error names.
BAD: list[tuple[dict[str, Any], str]] = [
    ({"freq_threshold": 0}, "--freq-threshold"),
    ({"max_tokens": 51}, "--max-tokens"),
    ({"image_size": -1}, "--image-size"),
    ({"dropout": 1.5}, "--dropout"),
    ({"lr": -1e-3}, "--lr"),
    ({"lr": float("nan")}, "--lr"),
    ({"dropout": float("nan")}, "--dropout"),
    ({"beam_size": 9}, "--beam-size"),
    ({"beam_size": 0}, "--beam-size"),
    ({"max_length": 51}, "--max-length"),
    ({"scst_samples": 1}, "--scst-samples"),
    ({"seed": -1}, "--seed"),
    ({"decoder": "gru"}, "--decoder"),
    ({"schedule": "step"}, "--schedule"),
    ({"precision": "half"}, "--precision"),
    ({"hidden_size": 100}, "--hidden-size"),
    ({"tags": 21}, "--tags"),
]


@pytest.mark.parametrize(("options", "flag"), BAD)
def test_what_is_out_of_range_is_named(options: dict[str, Any], flag: str) -> None:
    with pytest.raises(OptionError) as raised:
        TrainConfig(**options)
    (value,) = options.values()
    assert str(raised.value).startswith(f"{flag} must be ")
    assert str(value) in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.0},
        {"dropout": 1.0},
        {"max_tokens": 50, "max_length": 1, "beam_size": 8},
        {"hidden_size": 100, "decoder": "lstm"},
        {"epochs": 0, "finetune_epochs": 1},
    ],
)
def test_the_ends_of_the_ranges_are_accepted(options: dict[str, Any]) -> None:
    config = TrainConfig(**options)
    assert {name: getattr(config, name) for name in options} == options


def test_tags_need_a_classifier() -> None:
    with pytest.raises(OptionError, match="--tags must be 0 with --encoder resnet18, but is 5"):
        TrainConfig(encoder="resnet18")
    assert TrainConfig(encoder="resnet18", decoder="lstm").tag_count == 0
    assert TrainConfig(encoder="inception_v3").tag_count == 5


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().lr = 1.0  # type: ignore[misc]


def test_the_original_preset_has_the_original_s_numbers() -> None:
    config = parse("--preset original")
    assert (config.embed_size, config.hidden_size, config.num_layers) == (256, 256, 1)
    assert (config.lr, config.epochs, config.batch_size) == (3e-4, 150, 32)
    assert (config.encoder, config.decoder, config.dropout) == ("inception_v3", "lstm", 0.5)
    assert config.train_encoder is False
    # And none of what came later.
    plain = {"weight_decay": 0, "clip": 0, "label_smoothing": 0, "sampling": 0, "ema": 0}
    later = {"finetune_epochs": 0, "scst_epochs": 0, "patience": 0, "flips": False}
    for name, value in {**plain, **later, "schedule": "constant"}.items():
        assert getattr(config, name) == value, name


def test_options_win_over_the_preset() -> None:
    config = parse("--preset original --epochs 3 --decoder attention --flips")
    assert (config.epochs, config.decoder, config.flips) == (3, "attention", True)
    assert config.lr == 3e-4


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_names_options_that_exist(preset: str) -> None:
    config = parse(f"--preset {preset}")
    assert config == TrainConfig(**PRESETS[preset])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--preset original",
        "--no-flips --train-encoder --lr 0.0025 --encoder efficientnet_lite0 --ema 0",
        "--scst-epochs 3 --sampling 0.25 --sampling-step 0.05 --sampling-every 5 --patience 0",
        "--weight-decay 1e-05 --encoder-lr 1e-06 --seed 7",
    ],
)
def test_the_command_line_gives_the_same_configuration(line: str) -> None:
    config = parse(line)
    program, module, *words = shlex.split(config.command_line())[1:]
    assert (program, module) == ("-m", "training.train")
    arguments = build_parser().parse_args(words)
    assert config_from_arguments(arguments) == config


def test_the_command_line_names_what_differs_alone() -> None:
    assert TrainConfig().command_line() == "python -m training.train --data DATA"
    assert TrainConfig(epochs=3, flips=False).command_line().endswith("DATA --epochs 3 --no-flips")


def test_every_option_has_a_range_and_a_help_text_with_its_default() -> None:
    text = " ".join(build_parser().format_help().split())
    for item in dataclasses.fields(TrainConfig):
        assert f"{item.metadata['help']} (default: {item.default})" in text, item.name


def test_it_is_saved_as_json(tmp_path: Path) -> None:
    config = TrainConfig(lr=0.5, encoder="resnet18", tags=0)
    config.save(tmp_path / "config.json")
    assert TrainConfig(**json.loads((tmp_path / "config.json").read_text())) == config


@pytest.mark.parametrize("decoder", ["lstm", "attention"])
def test_a_decoder_gets_its_own_options(decoder: str) -> None:
    from training.model.decoders import build_decoder

    config = TrainConfig(decoder=decoder, embed_size=24, hidden_size=16, heads=2, dropout=0.25)
    built = build_decoder(decoder, 9, 5, **config.decoder_options())
    assert built.embedding.weight.shape == (9, 24)
    assert built.dropout.p == 0.25


# Options that change nothing, and what they would need.
USELESS = [
    ("--num-layers 2", "--decoder lstm"),
    ("--preset original --heads 4", "--decoder attention"),
    ("--preset original --finetune-lr 1e-3", "--finetune-epochs"),
    ("--preset original --encoder-lr 1e-3", "--train-encoder"),
    ("--preset original --views 4", "--crop"),
    ("--preset adapt --finetune-stages 2", "--finetune-epochs"),
    ("--epochs 0 --lr 1e-3", "--epochs"),
    ("--epochs 0 --train-encoder", "--epochs"),
    ("--scst-samples 3", "--scst-epochs"),
    ("--scst-mix 0", "--scst-epochs"),
    ("--decoder lstm --tags 2", "--decoder attention"),
    ("--sampling-every 2", "--sampling"),
    ("--epochs 0 --finetune-epochs 0 --scst-epochs 1 --schedule cosine", "--finetune-epochs"),
]


@pytest.mark.parametrize(("line", "lacking"), USELESS)
def test_an_option_without_effect_is_an_error(line: str, lacking: str) -> None:
    with pytest.raises(OptionError, match=f"has no effect without .*{lacking}"):
        parse(line)


def test_the_command_line_leaves_out_what_has_no_effect() -> None:
    config = TrainConfig(scst_lr=1.0, num_layers=3, views=9, flips=False, crop=1.0)
    line = config.command_line()
    assert line.endswith("DATA --no-flips --crop 1.0")
    assert parse(line.split("DATA")[1]).flips is False


def test_every_need_names_options_that_exist() -> None:
    fields = {item.name for item in dataclasses.fields(TrainConfig)}
    assert {name for _, _, names in NEEDS for name in names.split()} <= fields


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["--beam-size", "9"], "--beam-size"),
        (["--lr", "fast"], "--lr"),
        (["--preset", "fast"], "--preset"),
        (["--heads", "2", "--decoder", "lstm"], "--heads"),
    ],
)
def test_a_bad_option_ends_the_program(
    capsys: pytest.CaptureFixture[str], words: list[str], flag: str
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--data", "nowhere", *words])
    assert raised.value.code == 2
    assert flag in capsys.readouterr().err.splitlines()[-1]
