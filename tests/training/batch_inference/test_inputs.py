"""Which pictures a folder, a pattern or a list names."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from training.batch_inference.files import locate, normal, read_bytes
from training.batch_inference.inputs import find
from training.common.errors import UserError

NAMES = ["a.jpg", "b.PNG", "in/c.webp", "in/deeper/d.jpg", "notes.txt"]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Files with names alone."""
    for name in NAMES:
        file = tmp_path / "album" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return tmp_path / "album"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", NAMES[:4]),
        ("*.jpg", ["a.jpg"]),
        ("**/*.jpg", ["a.jpg", "in/deeper/d.jpg"]),
        ("in/*", ["in/c.webp"]),
        ("*/*.webp", ["in/c.webp"]),
        ("notes.txt", ["notes.txt"]),
    ],
)
def test_folders_and_patterns(album: Path, pattern: str, names: list[str]) -> None:
    assert find(f"{album}/{pattern}") == [f"{album}/{name}" for name in names]


def test_names_are_those_that_every_process_knows(
    album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(album)
    assert find("in") == find(f"file://{album}/in") == find(f"{album}/in")
    assert normal("file:///with%20space/a.jpg") == "/with space/a.jpg"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_lists_name_pictures_beside_them_anywhere_and_by_url(
    album: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    values = ["in/c.webp", str(album / "a.jpg"), "file:///b.jpg", "s3://bucket/d.jpg", "in/c.webp"]
    file = album / f"list.{kind}"
    if kind == "csv":
        file.write_text("number,picture\n" + "".join(f"1,{value}\n" for value in [*values, ""]))
    elif kind == "jsonl":
        rows = [*values, None]
        file.write_text("".join(json.dumps({"number": 1, "picture": v}) + "\n" for v in rows))
    else:
        pq.write_table(pa.table({"number": [1] * 6, "picture": [*values, None]}), file)
    wanted = [f"{album}/in/c.webp", f"{album}/a.jpg", "/b.jpg", "s3://bucket/d.jpg"]
    with caplog.at_level(logging.WARNING):
        assert find(str(file), "picture") == wanted
        assert find(f"{album}/*.{kind}", "picture") == wanted
    assert "1 rows name no picture" in caplog.text
    with pytest.raises(UserError, match="has no column path or .* but number, picture"):
        find(str(file))


def test_a_list_is_read_by_the_column_that_is_called_as_usual(album: Path) -> None:
    (album / "list.csv").write_text("text,image\nhello,a.jpg\n")
    assert find(f"{album}/list.csv") == [f"{album}/a.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere", None, "There is no"),
        ("list.parquet", "no list", "cannot be read as a list"),
        ("list.jsonl", "{", "cannot be read as a list"),
        ("nowhere/*.jpg", None, "cannot be listed"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        find(f"{tmp_path}/{name}")


def test_other_file_systems_by_url() -> None:
    store = fsspec.filesystem("memory")
    store.pipe({"/shop/album/a b.jpg": b"a", "/shop/album/in/c.png": b"c", "/shop/x.txt": b"x"})
    found = ["memory://shop/album/a b.jpg", "memory://shop/album/in/c.png"]
    assert find("memory://shop/album") == find("memory://shop/album/") == found
    assert find("memory://shop/**/*.jpg") == found[:1]
    assert [read_bytes(one) for one in found] == [b"a", b"c"]


def test_a_url_that_nothing_opens_is_refused() -> None:
    with pytest.raises(UserError, match="nothing://bucket cannot be opened here"):
        locate("nothing://bucket/a.jpg")
