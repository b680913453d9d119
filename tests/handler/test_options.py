"""What a request may choose, and the settings of model-config.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from handler.errors import InvalidOption
from handler.options import Options, read_options
from handler.settings import Settings

DEFAULTS = Options(beam_size=3, num_captions=2, max_length=20)


@pytest.mark.parametrize(
    ("fields", "headers", "expected"),
    [
        ({}, {}, DEFAULTS),
        ({"beam_size": "8", "num_captions": "8", "max_length": "50"}, {}, Options(8, 8, 50)),
        ({"beam_size": bytearray(b"5")}, {}, Options(5, 2, 20)),
        ({}, {"x-beam-size": "5", "x-num-captions": "4", "x-max-length": "1"}, Options(5, 4, 1)),
        ({"beam_size": "4"}, {"x-beam-size": "5"}, Options(4, 2, 20)),
        ({"num_captions": "6"}, {}, Options(6, 6, 20)),
        ({"num_captions": "1"}, {}, Options(3, 1, 20)),
        ({"beam_size": "1"}, {}, Options(1, 1, 20)),
        ({"people": b"neutral"}, {}, Options(3, 2, 20, "neutral")),
        ({}, {"x-alternatives": "different"}, Options(3, 2, 20, "named", "different")),
        ({"data": b"a picture", "colour": "red"}, {"x-other": "one"}, DEFAULTS),
    ],
)
def test_options_are_read(
    fields: dict[str, Any], headers: dict[str, str], expected: Options
) -> None:
    assert read_options(fields, headers, DEFAULTS) == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beam_size": "0"}, "beam_size is 0; a whole number from 1 to 8 is accepted"),
        ({"beam_size": "9"}, "beam_size is 9; a whole number from 1 to 8 is accepted"),
        ({"num_captions": "9"}, "num_captions is 9; a whole number from 1 to 8 is accepted"),
        ({"num_captions": "0"}, "num_captions is 0; a whole number from 1 to 8 is accepted"),
        ({"max_length": "51"}, "max_length is 51; a whole number from 1 to 50 is accepted"),
        ({"max_length": "2000000000000"}, "max_length is '2000000000000'"),
        ({"max_length": ""}, "max_length is ''; a whole number from 1 to 50 is accepted"),
        ({"beam_size": "three"}, "beam_size is 'three'"),
        ({"beam_size": "3.0"}, "beam_size is '3.0'"),
        ({"beam_size": " 3"}, "beam_size is ' 3'"),
        ({"beam_size": "+3"}, "beam_size is '\\+3'"),
        ({"beam_size": "-3"}, "beam_size is '-3'"),
        ({"beam_size": "٣"}, "beam_size is '٣'"),
        ({"beam_size": b"\xff"}, "beam_size is '\ufffd'"),
        ({"beam_size": "x" * 500}, f"beam_size is '{'x' * 40}'; "),
        ({"people": "all"}, "people is 'all'; named or neutral is accepted"),
        ({"alternatives": ""}, "alternatives is ''; likely or different is accepted"),
        ({"beam_size": "2", "num_captions": "3"}, "num_captions is 3 and beam_size is 2"),
    ],
)
def test_wrong_option_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        read_options(fields, {}, DEFAULTS)


def test_shipped_configuration_holds_the_defaults() -> None:
    path = Path(__file__).parents[2] / "handler" / "model-config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings = Settings.from_config(config)
    assert settings.options == Options() == Options(3, 3, 20)
    assert settings.limits == Settings().limits
    assert max(settings.warm_up) == config["batchSize"]
    # By the wall clock, without an answer: torture's round `clock` shows what that would do.
    assert "clientTimeoutInMills" not in config


def test_configuration_is_read() -> None:
    section = {"beam_size": 5, "max_pixels": 1000, "warm_up": [2], "threads": 1}
    settings = Settings.from_config({"batchSize": 4, "captioner": section})
    assert settings.options == Options(beam_size=5)
    assert settings.limits.max_pixels == 1000
    assert settings.warm_up == (2,)
    assert settings.threads == 1
    assert section["warm_up"] == [2]


@pytest.mark.parametrize("config", [None, {}, {"captioner": None}])
def test_configuration_may_be_absent(config: dict[str, Any] | None) -> None:
    assert Settings.from_config(config) == Settings()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"beams": 3}, "captioner.beams"),
        ({"beam_size": "3"}, "captioner.beam_size is '3'; a whole number"),
        ({"beam_size": True}, "captioner.beam_size is True; a whole number"),
        ({"warm_up": [0]}, r"warm_up is \[0\]"),
        ({"warm_up": 3}, "warm_up is 3"),
        ({"threads": -1}, "threads is -1"),
        ({"decode_threads": 0}, "decode_threads is 0"),
        ({"max_bytes": 0}, "max_bytes is 0"),
        ({"max_pixels": 10**9}, "max_pixels is 1000000000"),
    ],
)
def test_wrong_configuration_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.from_config({"captioner": section})


def test_wrong_default_option_is_refused() -> None:
    with pytest.raises(InvalidOption, match="num_captions is 4 and beam_size is 3"):
        Settings.from_config({"captioner": {"num_captions": 4}})
