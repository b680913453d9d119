"""Captions from checkpoints, exported modules and archives."""

from __future__ import annotations

import dataclasses
import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.training.drawn import SHOWN
from training.packaging.inference import ModelError, inference, load_model
from training.trainer.checkpoint import CheckpointError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(params=["calibrated", "exported", "mar"])
def model_path(request: pytest.FixtureRequest) -> Path:
    """The trained model in each of its three forms, the checkpoint first."""
    path: Path = request.getfixturevalue(request.param)
    return path


def test_the_taught_captions_come_back(model_path: Path, pictures: list[Path]) -> None:
    results = list(inference(pictures, load_model(model_path)))
    assert [result.path for result in results] == pictures
    assert [result.captions[0].text for result in results] == [d.caption for d in SHOWN]
    assert all(result.error is None for result in results)
    for result in results:
        (best,) = result.captions
        assert 0.5 < best.confidence < 1


def test_a_model_that_was_never_calibrated_answers_the_geometric_mean(
    run: Path, pictures: list[Path]
) -> None:
    for result in inference(pictures[:2], run / "best.pt"):
        (best,) = result.captions
        words = len(best.text.split()) + 1  # with <EOS>
        assert best.confidence == pytest.approx(math.exp(best.log_probability / words))


def test_a_module_without_confidences_answers_the_geometric_mean(
    exported: Path, pictures: list[Path]
) -> None:
    class Old(torch.nn.Module):
        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(new.module(*inputs)[:3])

    new = load_model(exported)
    (result,) = inference(pictures[:1], dataclasses.replace(new, module=Old()))
    (best,) = result.captions
    words = len(best.text.split()) + 1
    assert best.confidence == pytest.approx(math.exp(best.log_probability / words))


def test_all_forms_of_a_model_answer_alike(
    calibrated: Path, exported: Path, mar: Path, pictures: list[Path]
) -> None:
    answers = [
        list(inference(pictures, path, beam_size=4, num_captions=4, max_length=7))
        for path in (calibrated, exported, mar)
    ]
    for trained, from_module, from_archive in zip(*answers, strict=True):
        assert from_module == from_archive
        assert len(trained.captions) == len(from_module.captions) == 4
        best, rounded = trained.captions[0], from_module.captions[0]  # weights in 32 and 16 bits
        assert best.text == rounded.text
        assert best.log_probability == pytest.approx(rounded.log_probability, abs=0.05)
        assert best.confidence == pytest.approx(rounded.confidence, abs=0.02)


def test_one_picture_and_its_alternatives(exported: Path, pictures: list[Path]) -> None:
    (result,) = inference(pictures[0], exported, beam_size=3, num_captions=2)
    assert len(result.captions) == 2
    assert result.captions[0].text == SHOWN[0].caption
    assert result.captions[0].log_probability > result.captions[1].log_probability


def test_more_pictures_than_a_batch(exported: Path, pictures: list[Path]) -> None:
    results = list(inference(pictures * 3, load_model(exported)))
    assert [r.captions[0].text for r in results] == [d.caption for d in SHOWN] * 3


def test_an_unreadable_picture_fails_alone(
    exported: Path, pictures: list[Path], tmp_path: Path
) -> None:
    text, gone = tmp_path / "text.jpg", tmp_path / "gone.jpg"
    text.write_text("no picture")
    paths = [text, pictures[0], gone, pictures[1], tmp_path]
    results = list(inference(paths, exported))
    assert [bool(result.captions) for result in results] == [False, True, False, True, False]
    assert [r.captions[0].text for r in results if r.captions] == [d.caption for d in SHOWN[:2]]
    errors = [result.error for result in results if result.error]
    assert errors[0].startswith("A JPEG, PNG, WEBP, GIF, BMP or TIFF picture is expected")
    assert errors[1] == "The file cannot be read (No such file or directory)."
    assert errors[2] == "The file cannot be read (Is a directory)."
    assert [r.error for r in inference([text], exported)] == errors[:1]


def no_model(folder: Path, exported: Path) -> Path:
    return folder / "nothing.pt"


def text_file(folder: Path, exported: Path) -> Path:
    (folder / "text.pt").write_text("no model")
    return folder / "text.pt"


def without_vocabulary(folder: Path, exported: Path) -> Path:
    (folder / "alone.pt").write_bytes(exported.read_bytes())
    return folder / "alone.pt"


def bad_vocabulary(folder: Path, exported: Path) -> Path:
    (folder / "vocab.json").write_text("[]")
    return without_vocabulary(folder, exported)


def foreign_vocabulary(folder: Path, exported: Path) -> Path:
    stoi = json.loads(exported.with_name("vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps({**stoi, "more": len(stoi)}))
    return without_vocabulary(folder, exported)


def other_zip(folder: Path, exported: Path) -> Path:
    with zipfile.ZipFile(folder / "other.zip", "w") as file:
        file.writestr("a.txt", "a")
    return folder / "other.zip"


def other_archive(folder: Path, exported: Path) -> Path:
    with zipfile.ZipFile(folder / "other.mar", "w") as file:
        file.writestr("MAR-INF/MANIFEST.json", "{}")
    return folder / "other.mar"


def other_checkpoint(folder: Path, exported: Path) -> Path:
    torch.save({"weights": torch.zeros(1)}, folder / "other.pt")
    return folder / "other.pt"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (no_model, "There is no model"),
        (text_file, "is neither a .mar archive nor a .pt file"),
        (without_vocabulary, "vocab.json of alone.pt is not there"),
        (bad_vocabulary, "vocab.json must map every token to a whole number"),
        (foreign_vocabulary, "vocab.json has 15 tokens, but alone.pt has 14"),
        (other_zip, "cannot be read as a checkpoint"),
        (other_archive, "other.mar holds no captioner.pt and vocab.json"),
        (other_checkpoint, "other.pt is not a checkpoint of training.train"),
    ],
)
def test_what_is_no_model_is_named(
    exported: Path, tmp_path: Path, make: Callable[[Path, Path], Path], said: str
) -> None:
    with pytest.raises((ModelError, CheckpointError)) as raised:
        load_model(make(tmp_path, exported))
    assert said in str(raised.value)


def test_a_vocabulary_may_lie_elsewhere(
    exported: Path, tmp_path: Path, pictures: list[Path]
) -> None:
    alone = without_vocabulary(tmp_path, exported)
    vocabulary = exported.with_name("vocab.json")
    (result,) = inference(pictures[:1], alone, vocabulary=vocabulary)
    assert result.captions[0].text == SHOWN[0].caption
