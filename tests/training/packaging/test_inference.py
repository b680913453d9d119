"""Captions from checkpoints, exported modules and archives."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from handler.captioner import Captioner, Trust
from handler.decode import SQUEEZED
from handler.engines import Beams, Search
from handler.text import WholeWords
from tests.handler.conftest import WORDS, ToyCaptioner
from tests.training.drawn import SHOWN
from training.data.splits import Example
from training.metrics.coco import CocoScorer
from training.packaging.evaluation import evaluate
from training.packaging.inference import caption_pictures, load_model, trust_of
from training.pictures.results import Caption, Result
from training.trainer import checkpoint


def captions(
    model: Path, pictures: Sequence[Path], beam_size: int = 3, num_captions: int = 1
) -> list[Result]:
    search = Search(beam_size, 8, num_captions)
    return list(caption_pictures(pictures, load_model(model), search))


@pytest.fixture(params=["calibrated", "exported", "mar"])
def model_path(request: pytest.FixtureRequest) -> Path:
    """The trained model in each of its three forms, the checkpoint first."""
    path: Path = request.getfixturevalue(request.param)
    return path


def test_the_taught_captions_come_back(model_path: Path, pictures: list[Path]) -> None:
    results = captions(model_path, pictures)
    assert [result.path for result in results] == pictures
    assert [result.captions[0].text for result in results] == [d.caption for d in SHOWN]
    assert all(result.error is None for result in results)
    for result in results:
        (best,) = result.captions
        assert 0.5 < best.confidence < 1


def test_an_archive_is_captioned_from_by_the_engine_that_serves_it(mar: Path) -> None:
    model = load_model(mar)
    assert isinstance(model, Captioner)
    assert model.engine.name == "onnxruntime"


def test_a_model_that_was_never_calibrated_answers_the_geometric_mean(
    run: Path, pictures: list[Path]
) -> None:
    for result in captions(run / "best.pt", pictures[:2]):
        (best,) = result.captions
        words = len(best.text.split()) + 1  # with <EOS>
        assert best.confidence == pytest.approx(math.exp(best.log_probability / words))


def test_all_forms_of_a_model_answer_alike(
    calibrated: Path, exported: Path, mar: Path, pictures: list[Path]
) -> None:
    answers = [captions(path, pictures, 4, 4) for path in (calibrated, exported, mar)]
    for trained, from_module, from_archive in zip(*answers, strict=True):
        # An exported module by itself has no card, which says how far to trust a confidence.
        untrusted = [replace(caption, trust=None) for caption in from_archive.captions]
        assert from_module == replace(from_archive, captions=untrusted)
        assert all(caption.trust for caption in trained.captions + from_archive.captions)
        assert len(trained.captions) == len(from_module.captions) == 4
        best, rounded = trained.captions[0], from_module.captions[0]  # weights in 32 and 16 bits
        assert best.text == rounded.text
        assert best.log_probability == pytest.approx(rounded.log_probability, abs=0.05)
        assert best.confidence == pytest.approx(rounded.confidence, abs=0.02)


def test_a_picture_s_alternatives(exported: Path, pictures: list[Path]) -> None:
    (result,) = captions(exported, pictures[:1], 3, 2)
    assert len(result.captions) == 2
    assert result.captions[0].text == SHOWN[0].caption
    assert result.captions[0].log_probability > result.captions[1].log_probability


def test_the_confidence_that_is_taken_for_right(
    run: Path, calibrated: Path, exported: Path, mar: Path
) -> None:
    report = checkpoint.load(calibrated).training["calibration"]
    assert trust_of(mar) == trust_of(calibrated) == report["trust"]["right"]
    assert trust_of(exported) is None  # it has no card
    assert trust_of(run / "best.pt") is None


def test_a_module_from_before_there_were_tags(
    tmp_path: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It returns four tensors."""
    monkeypatch.setattr(CocoScorer.__call__, "__defaults__", (("bleu",),))
    torch.jit.script(ToyCaptioner().eval()).save(str(tmp_path / "captioner.pt"))
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    model = load_model(tmp_path / "captioner.pt")
    assert model.trust is None
    (result,) = caption_pictures(pictures[:1], model, Search(2, 5, 1))
    (best,) = result.captions
    assert (best.text, best.trust, result.tags) == ("a red picture", None, [])
    report, _ = evaluate(model, [Example(pictures[0], ("a red picture",), "red")])
    assert report["words_confirmed"] == 1


class Short:
    """A model that has fewer sentences than beams, as one of very few words may."""

    image_size = 8
    vocabulary = ["<PAD>", "<SOS>", "<EOS>", "<UNK>", "a"]
    words = WholeWords(vocabulary)
    fit = SQUEEZED
    trust = Trust(right=0.4, check=0.1)

    def __call__(self, images: torch.Tensor, search: Search) -> Beams:
        tokens = torch.tensor([[[4, 2], [0, 0]]])
        log_probs = torch.tensor([[[-1.0, -0.5], [-torch.inf, 0.0]]])
        confidence = torch.tensor([[0.5, 0.0]])
        nothing = torch.zeros(1, 2, 0, 1)
        tags, probabilities = torch.tensor([[4, 0]]), torch.tensor([[0.25, 0.0]])
        return Beams.of((tokens, log_probs, nothing, confidence, tags, probabilities))


def test_a_beam_without_a_sentence_is_no_caption(pictures: list[Path]) -> None:
    (result,) = caption_pictures(pictures[:1], Short(), Search(2, 1, 2))
    assert result.captions == [Caption("a", -1.5, 0.5, "right")]
    assert result.tags == [{"word": "a", "probability": 0.25}]


def test_more_pictures_than_a_batch(exported: Path, pictures: list[Path]) -> None:
    results = captions(exported, pictures * 3)
    assert [r.captions[0].text for r in results] == [d.caption for d in SHOWN] * 3


def test_an_unreadable_picture_fails_alone(
    exported: Path, pictures: list[Path], tmp_path: Path
) -> None:
    text, gone = tmp_path / "text.jpg", tmp_path / "gone.jpg"
    text.write_text("no picture")
    results = captions(exported, [text, pictures[0], gone, pictures[1], tmp_path])
    assert [bool(result.captions) for result in results] == [False, True, False, True, False]
    assert [r.captions[0].text for r in results if r.captions] == [d.caption for d in SHOWN[:2]]
    errors = [result.error for result in results if result.error]
    for key, error in zip(("text", "No such file", "directory"), errors, strict=True):
        assert key in error
    assert [r.error for r in captions(exported, [text])] == errors[:1]
