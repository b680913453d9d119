"""The one reader of archives and exported modules."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from handler.text import SPECIALS
from training.common.model_files import ModelError, is_checkpoint, open_model
from training.packaging.inference import load_model
from training.trainer.checkpoint import CheckpointError


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


def damaged_archive(folder: Path, exported: Path) -> Path:
    (folder / "damaged.mar").write_bytes(b"no zip")
    return folder / "damaged.mar"


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (no_model, "There is no model"),
        (text_file, "neither"),
        (damaged_archive, "neither"),
        (without_vocabulary, "vocab.json"),
        (bad_vocabulary, "vocab.json"),
        (foreign_vocabulary, "they belong to different models"),
        (other_zip, "other.zip"),
        (other_archive, "captioner.pt"),
        (other_checkpoint, "other.pt"),
    ],
)
def test_what_is_no_model_is_named(
    exported: Path, tmp_path: Path, make: Callable[[Path, Path], Path], key: str
) -> None:
    with pytest.raises((ModelError, CheckpointError), match=key):
        load_model(make(tmp_path, exported))


def test_an_archive_is_unpacked_for_as_long_as_it_is_open(mar: Path) -> None:
    with open_model(mar) as files:
        assert files.card is not None
        assert files.card["name"] == "drawings"
        content = files.content()
        assert files.module.is_file()
    assert not files.module.exists()
    assert content["config"] == files.card["configuration"]
    assert content["itos"][:4] == list(SPECIALS)
    assert torch.float16 not in {weights.dtype for weights in content["model"].values()}


def test_an_exported_module_is_read_where_it_lies(exported: Path) -> None:
    with open_model(exported) as files:
        assert (files.module, files.card) == (exported, None)
        with pytest.raises(ModelError, match="Give its archive"):
            files.content()


def test_checkpoints_are_told_from_what_was_exported(
    calibrated: Path, exported: Path, mar: Path
) -> None:
    assert [is_checkpoint(path) for path in (calibrated, exported, mar)] == [True, False, False]
    with pytest.raises(ModelError, match="neither"), open_model(calibrated):
        pass
