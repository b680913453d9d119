"""Adoption as it is meant to be: against ``transformers`` itself, in every form, and served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from handler.engines import OnnxEngine, Search, TorchScriptEngine, pieces_for, read_module
from tests.training.adoption import golden, published
from training import adopt as command
from training.adoption.adopting import compare
from training.adoption.families.table import read
from training.adoption.model.search import PAD, AdoptedCaptioner
from training.adoption.onnx_parts import build_graph
from training.adoption.published import read_processing
from training.adoption.reference import Reference
from training.packaging.exporting import export

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of transformers, about itself
]
NOTHING = torch.zeros(0, dtype=torch.bool)


@pytest.fixture(scope="module", params=published.NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(name)
    published.make(name, path)
    return path


@pytest.fixture(scope="module")
def reference(folder: Path) -> Reference:
    return Reference(folder, read_processing(folder))


@pytest.fixture(scope="module")
def captioner(folder: Path) -> AdoptedCaptioner:
    return read(folder, NOTHING)


def test_the_golden_file_is_what_transformers_says(name: str, folder: Path) -> None:
    found, kept = golden.answers(folder), golden.read()[name]
    assert found["shapes"] == kept["shapes"]
    assert json.loads(json.dumps(found["processor"])) == kept["processor"]
    for one, other in zip(found["cases"], kept["cases"], strict=True):
        assert one["tokens"] == other["tokens"]
        difference = torch.tensor(one["log_probs"]) - torch.tensor(other["log_probs"])
        assert float(difference.nan_to_num(posinf=0, neginf=0).abs().max()) < 1e-3


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_the_same_sentences(
    captioner: AdoptedCaptioner, reference: Reference, count: int, penalty: float
) -> None:
    captioner.length_penalty = penalty
    found = compare(captioner, reference, published.pictures(count, seed=1), pieces=12)
    captioner.length_penalty = 1.0
    assert found.sentences == count * 9
    assert found.ended
    assert found.distinct > 1
    assert found.difference < 1e-3


@torch.inference_mode()
def test_words_look_where_the_reference_looks(
    captioner: AdoptedCaptioner, reference: Reference
) -> None:
    images = published.pictures(2)
    tokens, _, attention, _ = captioner(images, 1, 10**6, True, 0, 6)
    said = tokens[:, 0].clamp(min=0)
    start = torch.full((2, 1), captioner.start)
    words = torch.cat([start, said[:, :-1]], 1)
    pixels = reference.pixels(images)
    model, extra = reference.model, captioner.decoder.extra
    if hasattr(model, "git"):
        found = model(input_ids=words, pixel_values=pixels, output_attentions=True).attentions
        cells = captioner.grid_rows * captioner.grid_columns + extra
        layers = [layer[:, :, cells:, :cells] for layer in found]
    elif hasattr(model, "text_decoder"):
        seen = model.vision_model(pixel_values=pixels).last_hidden_state
        layers = model.text_decoder(
            input_ids=words, encoder_hidden_states=seen, output_attentions=True
        ).cross_attentions
    else:
        layers = model(
            pixel_values=pixels, decoder_input_ids=words, output_attentions=True
        ).cross_attentions
    mean = torch.stack([*layers][-captioner.decoder.looks :]).mean(0).mean(1)[..., extra:]
    mean = mean / mean.sum(-1, keepdim=True)
    there = (tokens[:, 0] != PAD).unsqueeze(-1)
    assert float(((attention[:, 0] - mean) * there).abs().max()) < 1e-4


def test_every_form_says_the_same(captioner: AdoptedCaptioner, tmp_path: Path) -> None:
    path = tmp_path / "captioner.pt"
    export(captioner, path, build=build_graph, tolerance=1e-3)
    cpu = torch.device("cpu")
    engines = [
        OnnxEngine(read_module(path, cpu), 1),
        TorchScriptEngine(read_module(path, cpu), cpu),
    ]
    for beams in (1, 3, 5):
        for count in (1, 2, 5):
            images = published.pictures(count, seed=2)
            with torch.inference_mode():
                want = captioner(images, beams, 7, True, 0, pieces_for(7))
            for engine in engines:
                found = engine(images, Search(beams, 7, beams, True))
                assert torch.equal(found.tokens, want[0])
                torch.testing.assert_close(found.log_probs, want[1], atol=1e-3, rtol=0)
                torch.testing.assert_close(found.attention, want[2], atol=1e-4, rtol=0)
                torch.testing.assert_close(found.confidence, want[3], atol=1e-3, rtol=0)


def test_a_search_that_is_not_known_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published.make("git", tmp_path)
    file = tmp_path / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "no_repeat_ngram_size": 1}))
    output = tmp_path / "x.mar"
    assert command.main(["--from", str(tmp_path), "--archive", str(output)]) == 1
    assert "transformers finds other sentences" in caplog.text
    assert not output.exists()
