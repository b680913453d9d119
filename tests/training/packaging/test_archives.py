"""Archives of a trained model, and their cards."""

from __future__ import annotations

import json
import shutil
import zipfile
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from tests.shipped import ARCHIVE
from training import archive, train
from training.packaging import archives
from training.packaging.card import build_card
from training.packaging.exporting import export
from training.packaging.label import Label
from training.trainer import checkpoint

ROOT = Path(__file__).resolve().parents[3]
CARD = {"name": "named", "version": "3.0", "description": "é"}


def label(path: Path) -> tuple[str, str]:
    """The name and the version that TorchServe will know an archive's model by."""
    with zipfile.ZipFile(path) as file:
        model = json.loads(file.read("MAR-INF/MANIFEST.json"))["model"]
    return model["modelName"], model["modelVersion"]


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
        *("epochs", "training_seconds", "date", "scores", "confidence", "trust", "tags"),
        *("limits", "licence", "configuration"),
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
    assert card["trust"] == card["confidence"]["trust"]
    assert "ImageNet classifier" in card["tags"]
    assert card["configuration"] == json.loads((run / "config.json").read_text())
    words = checkpoint.load(calibrated).vocabulary
    assert (card["vocabulary_size"], card["image_size"]) == (len(words), 64)
    assert card["pictures"] == {"train": 72, "dev": 24, "test": 12}
    assert 1 <= card["epochs"] <= 12
    parser = train.build_parser()
    words = card["command"].split()[3:]
    assert (
        train.config_from_arguments(parser.parse_args(words))
        == checkpoint.load(run / "best.pt").config
    )


def test_the_card_of_a_run_that_was_not_calibrated_says_so(run: Path) -> None:
    trained = checkpoint.load(run / "best.pt")
    card = build_card(trained, Label("a"), scores=None)
    assert card["confidence"] == {
        "meaning": "the geometric mean of the probabilities of a caption's words and of its end"
    }
    assert "trust" not in card
    trained.captioner.tagger.count = 0
    assert "tags" not in build_card(trained, Label("a"), scores=None)


def test_archiving_needs_an_exported_run(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "store" / "a.mar"
    assert archive.main(["--run", str(tmp_path), "--output", str(output)]) == 1
    assert "There is no checkpoint" in caplog.messages[-1]
    (tmp_path / "best.pt").write_bytes((run / "best.pt").read_bytes())
    assert archive.main(["--run", str(tmp_path), "--output", str(output)]) == 1
    assert "training.export" in caplog.messages[-1]
    assert "no scores" in caplog.text
    assert not output.exists()


def test_what_the_archiver_says_is_passed_on(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive.sys, "executable", "/bin/false")
    vocabulary = exported.with_name("vocab.json")
    with pytest.raises(archives.ArchiveError, match="torch-model-archiver"):
        archives.archive(exported, vocabulary, CARD, tmp_path / "a.mar")
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
    archives.archive(exported, vocabulary, CARD, output)
    assert label(output) == ("named", "3.0")  # and not as the file
    with zipfile.ZipFile(output) as file:
        assert json.loads(file.read("model_card.json")) == CARD
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


def test_an_archive_is_packed_again_in_its_place_and_changes_its_code_alone(
    mar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "handler"
    shutil.copytree(archives.HANDLER, changed, ignore=shutil.ignore_patterns("__pycache__"))
    (changed / "text.py").write_text("# another handler\n")
    monkeypatch.setattr(archives, "HANDLER", changed)
    monkeypatch.setattr(archives, "export", partial(export, onnx=False))  # which takes its time
    monkeypatch.chdir(tmp_path)  # where no other archive could be found, or written
    output = Path(shutil.copy(mar, "mine.mar"))
    assert archive.main(["--repack", "mine.mar"]) == 0
    assert [path.name for path in tmp_path.glob("**/*.mar")] == ["mine.mar"]
    assert Path("mine.mar.old").read_bytes() == mar.read_bytes()
    assert label(output) == label(mar) == ("drawings", "2.5")
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
    assert "captioner.pt" in caplog.messages[-1]
    assert not output.exists()


@pytest.mark.parametrize("flag", ["--name", "--version", "--data-name"])
def test_what_is_packed_again_keeps_its_label(
    mar: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    with pytest.raises(SystemExit) as raised:
        archive.main(["--repack", str(mar), flag, "x"])
    assert raised.value.code == 2
    assert f"{flag} has no effect with --repack" in capsys.readouterr().err


def test_the_shipped_archive_holds_the_handler_of_this_repository() -> None:
    shipped = contents(ARCHIVE)
    files = {f"handler/{path.name}": path for path in archives.HANDLER.glob("*.*")}
    assert {name for name in shipped if name.startswith("handler/")} == set(files)
    stale = [name for name, path in files.items() if shipped[name] != path.read_bytes()]
    advice = "python -m training.archive --repack model_store/captioner.mar"
    assert stale == [], f"pack it again: {advice}"
