"""Archives of before: renewed with the handler of now, and nothing lost."""

from __future__ import annotations

import shutil
import zipfile
from functools import partial
from pathlib import Path

import pytest
import torch

from handler.engines import Search
from tests.training.drawn import SHOWN
from tests.training.packaging.test_archives import contents, weights
from training import archive
from training.packaging import archives
from training.packaging.exporting import export
from training.packaging.inference import caption_pictures, load_model
from webui.torchserve import handlers

S = Search(beam_size=3, max_length=20, num_captions=3)


def as_of_before(mar: Path, path: Path) -> Path:
    """The archive as version 1.1 would have made it: without a number, and without a later file."""
    with zipfile.ZipFile(mar) as now, zipfile.ZipFile(path, "w") as old:
        for name in now.namelist():
            content = now.read(name)
            if name == "handler/__init__.py":
                content = b'"""What runs inside a TorchServe worker."""\n'
            if name != "handler/structure.py":
                old.writestr(name, content)
    return path


@pytest.fixture
def store(mar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model store with an archive of before, one of now, and two that are nobody's."""
    monkeypatch.setattr(archives, "export", partial(export, onnx=False))  # which takes its time
    folder = tmp_path / "store"
    folder.mkdir()
    as_of_before(mar, folder / "old.mar")
    shutil.copy(mar, folder / "new.mar")
    (folder / "none.mar").write_text("This is no archive.")
    with zipfile.ZipFile(folder / "another.mar", "w") as other:
        other.writestr("MAR-INF/MANIFEST.json", "{}")
    return folder


def test_a_folder_of_archives_is_renewed(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    assert handlers.behind(store) == ["old.mar"]
    assert archive.main(["--repack", str(store)]) == 0
    assert handlers.behind(store) == []
    assert sorted(path.name for path in store.iterdir()) == sorted([*before, "old.mar.old"])
    assert (store / "old.mar.old").read_bytes() == before["old.mar"]
    for name in ("new.mar", "none.mar", "another.mar"):
        assert (store / name).read_bytes() == before[name]
    renewed = contents(store / "old.mar")
    for path in archives.HANDLER.glob("*.*"):
        assert renewed[f"handler/{path.name}"] == path.read_bytes()
    assert "new.mar is up to date." in caplog.text
    assert "another.mar is left as it is" in caplog.text
    assert "until Captionize is started again" in caplog.text


def test_what_is_renewed_says_the_same(store: Path, tmp_path: Path) -> None:
    assert archive.main(["--repack", str(store / "old.mar")]) == 0
    old, new = (weights(store / f"old.mar{end}", tmp_path / f"w{end}") for end in (".old", ""))
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)
    shutil.copy(store / "old.mar.old", tmp_path / "old.mar")
    pictures = [drawing.save(tmp_path) for drawing in SHOWN[:3]]
    said = [
        [[caption.text for caption in one.captions] for one in caption_pictures(pictures, model, S)]
        for model in map(load_model, (tmp_path / "old.mar", store / "old.mar"))
    ]
    assert said[0] == said[1]


def test_no_file_of_before_is_overwritten(store: Path) -> None:
    first = (store / "old.mar").read_bytes()
    assert archive.main(["--repack", str(store / "old.mar")]) == 0
    second = (store / "old.mar").read_bytes()
    assert archive.main(["--repack", str(store / "old.mar")]) == 0
    assert (store / "old.mar.old").read_bytes() == first
    assert (store / "old.mar.old2").read_bytes() == second


def test_one_that_cannot_be_renewed_keeps_none_from_it(
    mar: Path, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with zipfile.ZipFile(store / "broken.mar", "w") as broken:
        broken.writestr("MAR-INF/MANIFEST.json", "{}")
        broken.writestr("handler/caption_handler.py", "")
    assert archive.main(["--repack", str(store)]) == 1
    assert handlers.behind(store) == ["broken.mar"]
    assert "Not packed again. broken.mar: " in caplog.messages[-1]
    assert not (store / "broken.mar.old").exists()


def test_a_folder_goes_nowhere_else(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert archive.main(["--repack", str(store), "--output", "x.mar"]) == 1
    assert "--output has no effect with a folder" in caplog.messages[-1]
    assert handlers.behind(store) == ["old.mar"]
