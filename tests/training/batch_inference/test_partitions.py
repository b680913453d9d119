"""What is written, whole or not at all, and read again to resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet as pq

from training.batch_inference import FORMATS
from training.batch_inference.captioning import row
from training.batch_inference.partitions import JOB, SCHEMA, Partitions
from training.common.errors import UserError
from training.packaging.inference import Failure, Outcome
from training.pictures.results import Caption

FOUND = Outcome(
    [Caption("a dog", -2.5, 0.75, "right"), Caption("a cat", -4.0, 0.5, "check")],
    [{"word": "dog", "probability": 0.875}],
)
ROWS = [row("/a.jpg", FOUND), row("s3://b/c.jpg", Failure("CorruptImage", "It is damaged."))]
MODEL = {"model": "one", "beam_size": 3}


def rows(file: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(file).to_pylist())


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_written_is_known_again(tmp_path: Path, form: str) -> None:
    out = Partitions(f"{tmp_path}/out", form)
    assert out.begin(MODEL) == set()
    out.write(ROWS)
    out.write(ROWS)  # by an actor that was thought lost
    assert Partitions(f"{tmp_path}/out", form).begin(MODEL) == {"/a.jpg", "s3://b/c.jpg"}
    (file,) = tmp_path.glob("out/part-*")
    assert sorted(tmp_path.glob("out/*")) == [tmp_path / "out" / JOB, file]
    assert file.suffix == f".{form}"


def test_a_row_has_the_caption_or_the_error_with_its_type(tmp_path: Path) -> None:
    out = Partitions(str(tmp_path), "parquet")
    out.write(ROWS)
    (file,) = tmp_path.glob("part-*")
    good, bad = rows(file)
    assert list(good) == SCHEMA.names
    assert good["caption"] == "a dog"
    assert (good["confidence"], good["trust"], good["error"]) == (0.75, "right", None)
    assert [one["caption"] for one in good["alternatives"]] == ["a cat"]
    assert good["tags"] == [{"word": "dog", "probability": 0.875}]
    assert (bad["caption"], bad["error_type"]) == (None, "CorruptImage")
    assert bad["error"] == "It is damaged."


def test_one_that_was_killed_while_it_wrote_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Partitions(str(tmp_path), "jsonl")
    out.begin(MODEL)

    class Killed:
        def __getattr__(self, name: str) -> Any:
            return getattr(system, name)

        def move(self, *_: str) -> None:
            raise KeyboardInterrupt

    system = out._system
    monkeypatch.setattr(out, "_system", Killed())
    with pytest.raises(KeyboardInterrupt):
        out.write(ROWS)
    assert len(list(tmp_path.glob(".part-*"))) == 1
    assert not list(tmp_path.glob("part-*"))
    assert Partitions(str(tmp_path), "jsonl").begin(MODEL) == set()
    assert not list(tmp_path.glob(".part-*"))


@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_file_is_named_rather_than_overlooked(tmp_path: Path, form: str) -> None:
    out = Partitions(str(tmp_path), form)
    out.begin(MODEL)
    (tmp_path / f"part-0.{form}").write_bytes(b'{"path"')
    with pytest.raises(UserError, match=rf"part-0.{form} is damaged.*Delete it"):
        out.begin(MODEL)


def test_rows_of_another_model_are_not_mixed_in(tmp_path: Path) -> None:
    Partitions(str(tmp_path), "parquet").begin(MODEL)
    with pytest.raises(UserError, match="was begun with another model"):
        Partitions(str(tmp_path), "parquet").begin({**MODEL, "model": "two"})


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        Partitions(f"{tmp_path}/file", "parquet").begin(MODEL)


def test_other_file_systems() -> None:
    out = Partitions("memory://made/captions", "parquet")
    out.begin(MODEL)
    out.write(ROWS)
    assert len(Partitions("memory://made/captions/", "parquet").begin(MODEL)) == 2
