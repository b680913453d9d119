"""Captions written into pictures by the command, read back by exiftool."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.training.drawn import SHOWN
from training import caption


def told(folder: Path) -> dict[str, str]:
    """The alternative text that exiftool reads in each file of a folder."""
    command = ["exiftool", "-json", "-r", "-XMP:AltTextAccessibility", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {
        str(Path(one["SourceFile"]).relative_to(folder)): one.get("AltTextAccessibility", "")
        for one in json.loads(done.stdout)
    }


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
def test_copies_and_then_the_pictures_themselves(
    mar: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    album = tmp_path / "album"
    originals = [SHOWN[0].save(album), SHOWN[1].save(album / "more")]
    Image.open(originals[0]).save(album / "moving.gif")
    before = [path.read_bytes() for path in originals]
    sentences = [one.caption[0].upper() + one.caption[1:] for one in SHOWN[:2]]
    names = [str(path.relative_to(album)) for path in originals]
    embed = ["--model", str(mar), "--format", "embed", "album"]

    assert caption.main([*embed, "captioned"]) == 1  # a GIF has no place for it
    assert "moving.gif: Captions can be written into JPEG, PNG" in caplog.text
    assert [path.read_bytes() for path in originals] == before
    made = told(tmp_path / "captioned" / "album")
    assert [made[name] for name in names] == sentences

    (album / "moving.gif").unlink()
    assert caption.main([*embed, "captioned"]) == 0  # the copies are no pictures of their own
    assert caplog.messages[-1].endswith("4 skipped")

    originals[0].chmod(0o640)
    assert caption.main([*embed, "--in-place"]) == 0
    assert [told(album)[name] for name in names] == sentences
    assert originals[0].stat().st_mode & 0o777 == 0o640
    assert caption.main([*embed, "--in-place"]) == 0
    assert caplog.messages[-1] == "0 captioned, 2 skipped"
    assert not [*tmp_path.rglob(".captionize-*")]
