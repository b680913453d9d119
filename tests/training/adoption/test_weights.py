"""Published weights: read from every kind of file, and refused by name where they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.training.adoption import golden, published
from training.adoption.families.table import build
from training.adoption.published import processing
from training.adoption.weights import AdoptionError, read_weights

Weights = dict[str, Tensor]
QUERY = "text_decoder.bert.encoder.layer.0.attention.self.query.weight"
NOTHING = torch.zeros(0, dtype=torch.bool)


def adopt(change: Callable[[Weights], object], name: str = "blip") -> None:
    model = golden.read()[name]
    weights = published.weights(model["shapes"])
    change(weights)
    build(model["config"], processing(model["processor"]), weights, NOTHING)


def rename(weights: Weights) -> None:
    weights["text_decoder.query"] = weights.pop(QUERY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop(QUERY), f"missing: {QUERY}"),
        (lambda w: w.update(more=torch.zeros(1)), "not known: more"),
        (rename, f"missing: {QUERY}; not known: text_decoder.query"),
        (lambda w: w.clear(), r"and \d+ more"),
        (lambda w: w.update({QUERY: torch.zeros(8, 32)}), "qkv.weight is"),
        (lambda w: w[QUERY].fill_(1e6), "half precision lacks"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    change: Callable[[Weights], object], message: str
) -> None:
    with pytest.raises(AdoptionError, match=message):
        adopt(change)


@pytest.mark.parametrize("name", published.NAMES)
def test_every_missing_weight_is_named(name: str) -> None:
    with pytest.raises(AdoptionError, match="missing: "):
        adopt(lambda w: w.clear(), name)


def test_numbers_that_older_versions_saved_are_no_weights() -> None:
    name = "text_decoder.bert.embeddings.position_ids"
    adopt(lambda w: w.update({name: torch.arange(128)}))


@pytest.mark.parametrize(
    ("part", "setting", "message"),
    [
        ("", {"model_type": "llava"}, "'llava'; known are blip, git"),
        ("text_config", {"hidden_act": "silu"}, "hidden_act 'silu'; known are"),
        ("vision_config", {"image_size": 32}, "position is .*, but config.json says"),
    ],
)
def test_what_is_not_known_is_refused(part: str, setting: dict[str, object], message: str) -> None:
    model = golden.read()["blip"]
    config = model["config"]
    (config[part] if part else config).update(setting)
    weights = published.weights(model["shapes"])
    with pytest.raises(AdoptionError, match=message):
        build(config, processing(model["processor"]), weights, NOTHING)


def test_files_of_weights(tmp_path: Path) -> None:
    weights = {"a": torch.ones(2), "b": torch.zeros(3)}
    torch.save(weights, tmp_path / "pytorch_model.bin")
    assert read_weights(tmp_path).keys() == weights.keys()
    for name, value in weights.items():
        save_file({name: value + 1}, tmp_path / f"{name}.safetensors")
    index = {"weight_map": {name: f"{name}.safetensors" for name in weights}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert float(read_weights(tmp_path)["a"][0]) == 2  # safetensors come first
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(AdoptionError, match=r"names b\.safetensors, which is not there"):
        read_weights(tmp_path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AdoptionError, match="has no weights"):
        read_weights(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"no weights")
    with pytest.raises(AdoptionError, match=r"pytorch_model\.bin cannot be read"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resample": 0}, "do_pad or resample"),
        ({"do_normalize": False}, "do_normalize"),
        ({"size": {"height": 64, "width": 32}}, "must be square"),
        ({"size": {"shortest_edge": 64}}, "cuts nothing"),
    ],
)
def test_image_processors_that_are_not_known(change: dict[str, object], message: str) -> None:
    with pytest.raises(AdoptionError, match=message):
        processing({**golden.read()["blip"]["processor"], **change})
