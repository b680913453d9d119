"""Which archives bring an older handler along."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import handler
from tests.webui.fake_management import write_archive
from webui.torchserve import handlers


def write(path: Path, package: str | None = None) -> Path:
    """An archive with this project's handler, whose package says this."""
    write_archive(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("handler/caption_handler.py", "")
        if package is not None:
            archive.writestr("handler/__init__.py", package)
    return path


def test_the_page_knows_the_handler_s_number() -> None:
    assert handlers.CURRENT == handler.VERSION
    source = Path(handler.__file__).read_bytes()
    assert handlers.NUMBER.search(source)


@pytest.mark.parametrize(
    ("package", "number"),
    [(None, 1), ('"""Docs."""\n', 1), ("VERSION = 2\n", 2), ("# A.\nVERSION = 37\nX = 1\n", 37)],
)
def test_an_archive_carries_its_handler_s_version(
    tmp_path: Path, package: str | None, number: int
) -> None:
    with zipfile.ZipFile(write(tmp_path / "a.mar", package)) as archive:
        assert handlers.version(archive) == number


def test_the_archives_that_are_behind_are_named(tmp_path: Path) -> None:
    write(tmp_path / "old.mar")
    write(tmp_path / "new.mar", f"VERSION = {handlers.CURRENT}\n")
    write(tmp_path / "newer.mar", f"VERSION = {handlers.CURRENT + 1}\n")
    write(tmp_path / "old.mar.old")
    write_archive(tmp_path / "another.mar")
    (tmp_path / "none.mar").write_text("This is no archive.")
    assert handlers.behind(tmp_path) == ["old.mar"]
    assert handlers.behind(tmp_path / "nowhere") == []
