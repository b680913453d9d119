"""An adopted captioner in its archive: served, calibrated, packed again."""

from __future__ import annotations

import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from handler import captioner as served
from handler import engines
from handler.captioner import check_memory
from handler.engines import (
    Beams,
    OnnxEngine,
    Search,
    TorchScriptEngine,
    load_engine,
    read_module,
)
from tests.shipped import ARCHIVE
from tests.training.adoption import golden, published
from tests.training.drawn import DEV, TAUGHT, write_kaggle
from training import archive as archive_command
from training import calibrate
from training.adoption import serving
from training.adoption.precision import lowered
from training.common.model_files import ModelError, open_model
from training.packaging import archives
from training.packaging.exporting import export, save_exported
from training.packaging.inference import caption_pictures, load_model

CPU = torch.device("cpu")
S = Search(3, 6, 2, True)
CARD = {"name": "captioner", "version": "blip", "licence": "none"}


@pytest.fixture(scope="module")
def mar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of a tiny BLIP, without a graph, which takes its time."""
    folder = tmp_path_factory.mktemp("adopted")
    captioner = golden.captioner("blip")
    export(captioner, folder / "captioner.pt", onnx=False, tolerance=1e-3)
    published.word_pieces().save(str(folder / "tokenizer.json"))
    speed = serving.Speed(alone=1.5, in_batch=1.2, batch=2)
    config = folder / "model-config.yaml"
    serving.write_config(archives.HANDLER / "model-config.yaml", "torchscript", speed, config)
    path = folder / "blip.mar"
    archives.archive(folder / "captioner.pt", folder / "tokenizer.json", CARD, path, config)
    return path


def pictures(folder: Path) -> list[Path]:
    return [drawing.save(folder) for drawing in DEV[:3]]


def test_a_folder_is_captioned_with_it(mar: Path, tmp_path: Path) -> None:
    model = load_model(mar)
    found = list(caption_pictures(pictures(tmp_path), model, S))
    assert all(result.captions and result.captions[0].text for result in found)
    assert all(len(result.captions[0].text.split()) >= 1 for result in found)
    assert found[0].captions[0].trust is None


def test_its_configuration_suits_its_speed(mar: Path) -> None:
    with zipfile.ZipFile(mar) as file:
        config = yaml.safe_load(file.read("model-config.yaml"))
        names = file.namelist()
    assert config["batchSize"] == 2
    assert config["jobQueueSize"] == 16  # of 1.2 s each: the last waits less than 20 s
    assert config["captioner"]["warm_up"] == [1, 2]
    assert config["captioner"]["engine"] == "torchscript"
    assert "tokenizer.json" in names
    assert "vocab.json" not in names


def test_it_is_packed_again_with_the_handler_of_now(mar: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.mar"
    with zipfile.ZipFile(mar) as now, zipfile.ZipFile(old, "w") as before:
        for name in now.namelist():
            if name != "handler/structure.py":
                before.writestr(name, now.read(name))
    assert archive_command.main(["--repack", str(tmp_path)]) == 0
    with zipfile.ZipFile(mar) as one, zipfile.ZipFile(old) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())
        for name in ("captioner.pt", "tokenizer.json", "model-config.yaml", "model_card.json"):
            assert one.read(name) == other.read(name)


def test_it_has_no_checkpoint(mar: Path) -> None:
    with open_model(mar) as files, pytest.raises(ModelError, match="has no checkpoint"):
        files.content()


def test_its_confidence_is_fitted(
    mar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.mar"
    own.write_bytes(mar.read_bytes())
    data = write_kaggle(tmp_path / "data", train=TAUGHT[:2], dev=DEV[:8])
    assert calibrate.main(["--archive", str(own), "--data", str(data), "--threads", "1"]) == 0
    with open_model(own) as files:
        fitted = served.Captioner(
            files.module, files.vocabulary, torch.device("cpu"), card=files.card
        )
        assert files.card
        assert files.card["confidence"]["pictures"] == 8
    assert fitted.calibrated
    assert fitted.trust is not None
    images = published.pictures(2)
    before, after = load_model(mar)(images, S), fitted(images, S)
    assert torch.equal(before.tokens, after.tokens)
    assert not torch.equal(before.confidence, after.confidence)
    ours = ["--data", str(data), "--archive", str(archive_command.SHIPPED)]
    assert calibrate.main(ours) == 1


def test_a_model_that_is_too_large_is_refused_with_the_figures() -> None:
    check_memory(10**7)
    with pytest.raises(MemoryError, match=r"needs 2400\.5 GB .* GB are free there"):
        check_memory(10**12)


def test_fewer_bits_change_little(mar: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(mar) as file:
        module = Path(file.extract("captioner.pt", tmp_path))
    images = published.pictures(2)
    before = TorchScriptEngine(read_module(module, CPU), CPU)(images, S)
    save_exported(lowered(read_module(module, CPU), "bfloat16"), module)
    assert not read_module(module, CPU).graph
    engine = load_engine(read_module(module, CPU), "auto", CPU)
    assert engine.precision == "bfloat16"
    compare(before, engine(images, S))


def test_a_graph_computes_in_whole_numbers(tmp_path: Path) -> None:
    # That of our own captioner, for to export one takes its time.
    with zipfile.ZipFile(ARCHIVE) as file:
        module = Path(file.extract("captioner.pt", tmp_path))
    exported = read_module(module, CPU)
    images = torch.arange(2 * 3 * 224 * 224).view(2, 3, 224, 224).div(997).to(torch.uint8)
    engine = OnnxEngine(lowered(exported, "int8"), 1)
    assert engine.precision == "int8"
    compare(OnnxEngine(exported, 1)(images, S), engine(images, S))


def test_weights_that_pass_through_a_file_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(ARCHIVE) as file:
        module = Path(file.extract("captioner.pt", tmp_path))
    images = torch.arange(2 * 3 * 224 * 224).view(2, 3, 224, 224).div(997).to(torch.uint8)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    found = []
    for large in (False, True):
        monkeypatch.setattr(engines, "LARGE", 0 if large else 10**9)
        engine = OnnxEngine(read_module(module, CPU), 1)
        assert hasattr(engine, "_weights") is not large
        found.append(engine(images, S))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    assert [*tmp_path.iterdir()] == [module]


def compare(before: Beams, after: Beams) -> None:
    """Both find sentences of about the same probability, and not of the very same."""
    difference = (before.log_probs.sum(-1) - after.log_probs.sum(-1))[:, 0].abs()
    assert 1e-4 < float(difference.max()) < 0.5


def test_serving_without_its_package(mar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ModelError, match="pip install tokenizers"):
        load_model(mar)


def test_the_handler_answers_with_words_and_looks(mar: Path, tmp_path: Path) -> None:
    from ts.context import Context

    from handler.caption_handler import CaptionHandler

    with zipfile.ZipFile(mar) as file:
        file.extractall(tmp_path)
        manifest = json.loads(file.read("MAR-INF/MANIFEST.json"))
        config = yaml.safe_load(file.read("model-config.yaml"))
    handler = CaptionHandler()
    handler.initialize(
        Context("blip", str(tmp_path), manifest, 2, None, "0.12.0", True, None, config)
    )
    buffer = io.BytesIO()
    Image.effect_noise((90, 50), 90).save(buffer, "PNG")
    job = handler.decode({"data": buffer.getvalue(), "max_length": "6"}, {"explain": "True"})
    [found] = handler.predict([job])
    assert isinstance(found, dict), found
    assert found["calibrated"] is False
    assert found["tags"] == []
    assert len(found["captions"]) == 3
    for caption in found["captions"]:
        assert caption["caption"] == " ".join(word["word"] for word in caption["words"])
        assert sum_of(caption) >= caption["log_probability"] - 1e-3
        for word in caption["words"]:
            grid = word["attention"]
            assert (grid["rows"], grid["columns"], len(grid["weights"])) == (4, 4, 16)
            assert sum(grid["weights"]) == pytest.approx(1, abs=1e-4)
    described = handler.description
    assert described["vocabulary_size"] == len(published.WORDS)


def sum_of(caption: dict[str, Any]) -> float:
    """The log-probability of a caption's words, without its end."""
    return float(torch.tensor([word["probability"] for word in caption["words"]]).log().sum())
