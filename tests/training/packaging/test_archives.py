"""Export, evaluation and archives of a trained model."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.shipped import ARCHIVE
from tests.training.drawn import DEV, TEST, write_captions
from training import archive, evaluate, export, train
from training.metrics import coco
from training.packaging import archives, evaluation, exporting
from training.packaging.card import build_card
from training.packaging.inference import Caption, Result
from training.trainer import checkpoint

ROOT = Path(__file__).resolve().parents[3]


def test_export_writes_the_vocabulary_beside_the_module(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "captioner.pt"
    words = ["--checkpoint", str(run / "best.pt"), "--output", str(output), "--no-onnx"]
    assert export.main(words) == 0
    assert sorted(path.name for path in output.parent.iterdir()) == ["captioner.pt", "vocab.json"]
    assert (output.parent / "vocab.json").read_bytes() == (run / "vocab.json").read_bytes()


def test_a_refused_export_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def differ(*_: Any) -> None:
        raise exporting.ExportError("They differ.")

    monkeypatch.setattr(exporting, "check_parity", differ)
    output = tmp_path / "captioner.pt"
    words = ["--checkpoint", str(run / "best.pt"), "--output", str(output), "--no-onnx"]
    assert export.main(words) == 1
    assert caplog.messages[-1] == "error: They differ."
    assert list(tmp_path.iterdir()) == []


def test_export_without_a_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert export.main(["--checkpoint", str(tmp_path / "best.pt")]) == 1
    assert caplog.messages[-1].endswith("best.pt. Train one with: python -m training.train")


def test_scores_of_the_dev_split(scores: Path) -> None:
    report = json.loads(scores.read_text())
    assert (report["split"], report["pictures"], report["beam_size"]) == ("dev", 24, 3)
    for name in ("bleu_1", "bleu_4", "meteor", "rouge_l"):
        assert 0.9 < report[name] <= 1
    assert report["cider"] > 9
    assert report["words_confirmed"] > 0.9
    assert 0 <= report["calibration_error"] < 0.2
    assert report["faults"] == {"unknown": 0, "dangling": 0, "repeated": 0, "cut": 0}
    assert report["distinct_captions"] == 12
    assert report["words_used"] == len({word for d in DEV for word in d.caption.split()})


def test_evaluation_prints_json_alone(
    exported: Path,
    drawn_data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coco, "ALL", ("bleu",))
    monkeypatch.setattr(coco.CocoScorer.__call__, "__defaults__", (("bleu",),))
    captions = tmp_path / "captions.json"
    words = ["--data", drawn_data, "--model", exported, "--split", "test", "--captions", captions]
    assert evaluate.main([*map(str, words), "--beam-size", "2"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["split"], report["pictures"], report["beam_size"]) == ("test", 12, 2)
    assert report["bleu_4"] > 0.9
    said = json.loads(captions.read_text())
    assert set(said) == {d.name for d in TEST}
    assert report["distinct_captions"] == len(set(said.values()))


def test_evaluation_counts_what_is_wrong(
    exported: Path,
    drawn_data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coco.CocoScorer.__call__, "__defaults__", (("bleu",),))
    answers = iter(["a red dog", "a a cross", "a circle of"] * 4)
    monkeypatch.setattr(
        evaluation,
        "inference",
        lambda paths, *_, **__: (
            Result(path, [Caption(next(answers), -1.0, confidence=0.9)]) for path in paths
        ),
    )
    words = ["--data", drawn_data, "--model", exported, "--split", "test", "--max-length", 3]
    assert evaluate.main(list(map(str, words))) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["faults"] == {"unknown": 0, "dangling": 4, "repeated": 4, "cut": 12}
    assert (report["distinct_captions"], report["words_used"]) == (3, 6)
    assert report["calibration_error"] == pytest.approx(abs(0.9 - report["words_confirmed"]))
    # Of the twelve drawings three are red, four are crosses and four are circles.
    shares = []
    for number, drawing in enumerate(TEST):
        said = {drawing.colour, drawing.shape}
        shares.append([len(said & {"red"}) / 2, "cross" in said, "circle" in said][number % 3])
    assert report["words_confirmed"] == pytest.approx(sum(shares) / 12, abs=1e-4)


def test_evaluation_leaves_out_what_cannot_be_read(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    data = write_captions(tmp_path / "own.csv", [("bad.png", "a dog")])
    (tmp_path / "Flickr_8k.devImages.txt").write_text("bad.png")
    assert evaluate.main(["--data", str(data), "--model", str(exported)]) == 1
    assert "unreadable picture 'bad.png'" in caplog.text
    assert "There is no readable picture in this split" in caplog.messages[-1]
    assert evaluate.main(["--data", str(data), "--model", str(exported), "--strict"]) == 1
    assert "or run without --strict" in caplog.messages[-1]


def test_the_archive_holds_what_serving_needs(mar: Path, exported: Path) -> None:
    with zipfile.ZipFile(mar) as file:
        names = set(file.namelist())
        manifest = json.loads(file.read("MAR-INF/MANIFEST.json"))
        card = json.loads(file.read("model_card.json"))
        config = yaml.safe_load(file.read("model-config.yaml"))
        assert file.read("captioner.pt") == exported.read_bytes()
        assert file.read("vocab.json") == exported.with_name("vocab.json").read_bytes()
        for source in (ROOT / "handler").glob("*.py"):
            assert file.read(f"handler/{source.name}") == source.read_bytes()
    assert not [name for name in names if name.startswith("extra")]
    assert manifest["model"] == {
        **{"modelName": "drawings", "modelVersion": "2.5"},
        **{"serializedFile": "captioner.pt", "handler": "caption_handler.py"},
        "configFile": "model-config.yaml",
    }
    assert "captioner" in config
    assert set(card) == {
        *("name", "version", "description", "encoder", "encoder_weights", "decoder"),
        *("parameters", "vocabulary_size", "image_size", "training_data", "pictures", "command"),
        *("epochs", "training_seconds", "date", "scores", "confidence", "limits", "licence"),
        "configuration",
    }


def test_the_card_says_what_was_done(mar: Path, scores: Path, calibrated: Path, run: Path) -> None:
    with zipfile.ZipFile(mar) as file:
        card = json.loads(file.read("model_card.json"))
    assert (card["name"], card["version"], card["training_data"]) == ("drawings", "2.5", "drawings")
    assert (card["encoder"], card["decoder"]) == ("efficientnet_lite0", "attention")
    assert "Apache-2.0" in card["encoder_weights"]
    assert card["scores"] == json.loads(scores.read_text())
    assert card["confidence"] == checkpoint.load(calibrated).training["calibration"]
    assert card["confidence"]["meaning"].startswith("the expected share of a caption's content")
    assert card["configuration"] == json.loads((run / "config.json").read_text())
    assert (card["vocabulary_size"], card["image_size"]) == (14, 64)
    assert card["pictures"] == {"train": 72, "dev": 24, "test": 12}
    assert 1 <= card["epochs"] <= 12
    parser = train.build_parser()
    words = card["command"].split()[3:]
    assert (
        train.config_from_arguments(parser.parse_args(words))
        == checkpoint.load(run / "best.pt").config
    )


def test_a_finished_run_is_calibrated_exported_scored_and_packed(
    run: Path, drawn_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coco.CocoScorer.__call__, "__defaults__", (("bleu",),))
    output = tmp_path / "run"
    output.mkdir()
    shutil.copy(run / "best.pt", output)
    words = ["--data", drawn_data, "--output", output, "--archive", tmp_path / "a.mar"]
    arguments = train.build_parser().parse_args([*map(str, words), "--device", "cpu"])
    assert train.package(arguments) == 0
    with zipfile.ZipFile(tmp_path / "a.mar") as file:
        card = json.loads(file.read("model_card.json"))
        file.extract("captioner.pt", tmp_path)
    assert card["confidence"]["pictures"] == card["scores"]["pictures"] == 24
    assert card["confidence"]["words_confirmed"] == card["scores"]["words_confirmed"]
    assert float(torch.jit.load(str(tmp_path / "captioner.pt")).calibration.fitted) == 1


def test_the_card_of_a_run_that_was_not_calibrated_says_so(run: Path) -> None:
    trained = checkpoint.load(run / "best.pt")
    card = build_card(trained, name="a", version="1", data_name="drawings", scores=None)
    assert card["confidence"] == {
        "meaning": "the geometric mean of the probabilities of a caption's words and of its end"
    }


def test_archiving_needs_an_exported_run(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "store" / "a.mar"
    assert archive.main(["--run", str(tmp_path), "--output", str(output)]) == 1
    assert "There is no checkpoint" in caplog.messages[-1]
    (tmp_path / "best.pt").write_bytes((run / "best.pt").read_bytes())
    assert archive.main(["--run", str(tmp_path), "--output", str(output)]) == 1
    assert caplog.messages[-1].endswith("captioner.pt. Make it with: python -m training.export")
    assert "the model card will have no scores" in caplog.text
    assert not output.exists()


def test_what_the_archiver_says_is_passed_on(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive.sys, "executable", "/bin/false")
    vocabulary = exported.with_name("vocab.json")
    with pytest.raises(archives.ArchiveError, match="torch-model-archiver failed: no reason given"):
        archives.archive(exported, vocabulary, {}, tmp_path / "a.mar", version="1.0")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_replaces_the_one_before(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "handler"
    shutil.copytree(archives.HANDLER, package)
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "decode.cpython-311.pyc").write_bytes(b"compiled")
    monkeypatch.setattr(archives, "HANDLER", package)
    others = tmp_path / "temporary" / "a" / "of another program.txt"
    others.parent.mkdir(parents=True)
    others.write_text("precious")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    output = tmp_path / "with, comma and space" / "a.mar"
    output.parent.mkdir()
    output.write_text("the archive of yesterday")
    vocabulary = exported.with_name("vocab.json")
    archives.archive(exported, vocabulary, {"a": "é"}, output, version="3.0")
    with zipfile.ZipFile(output) as file:
        assert json.loads(file.read("model_card.json")) == {"a": "é"}
        assert not [name for name in file.namelist() if "pyc" in name]
    assert [path.name for path in output.parent.iterdir()] == ["a.mar"]
    assert others.read_text() == "precious"


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist() if "MAR-INF" not in name}


def weights(path: Path, folder: Path) -> dict[str, torch.Tensor]:
    """The weights of an archive, as they are stored."""
    with zipfile.ZipFile(path) as file:
        file.extract("captioner.pt", folder)
    stored: dict[str, torch.Tensor] = torch.jit.load(str(folder / "captioner.pt")).state_dict()
    return stored


def test_repacking_changes_the_code_alone(
    mar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "handler"
    shutil.copytree(archives.HANDLER, changed, ignore=shutil.ignore_patterns("__pycache__"))
    (changed / "text.py").write_text("# another handler\n")
    monkeypatch.setattr(archives, "HANDLER", changed)
    output = tmp_path / mar.name
    assert archive.main(["--repack", str(mar), "--output", str(output)]) == 0
    before, after = contents(mar), contents(output)
    assert {name for name in before | after if before.get(name) != after.get(name)} <= {
        "handler/text.py",
        "captioner.pt",  # exported anew: names within are drawn, and the code may be newer
    }
    assert before["handler/text.py"] != after["handler/text.py"]
    old, new = weights(mar, tmp_path / "old"), weights(output, tmp_path / "new")
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_only_an_archive_can_be_repacked(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "new.mar"
    assert archive.main(["--repack", str(exported), "--output", str(output)]) == 1
    assert "captioner.pt is not an archive of this project" in caplog.messages[-1]
    assert not output.exists()


def test_the_shipped_archive_holds_the_handler_of_this_repository() -> None:
    shipped = contents(ARCHIVE)
    files = {f"handler/{path.name}": path for path in archives.HANDLER.glob("*.*")}
    assert {name for name in shipped if name.startswith("handler/")} == set(files)
    stale = [name for name, path in files.items() if shipped[name] != path.read_bytes()]
    advice = "python -m training.archive --repack model_store/captioner.mar"
    assert stale == [], f"pack it again: {advice}"
