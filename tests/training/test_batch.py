"""The command line that captions by the million, on this process in place of Ray's actors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.training.drawn import SHOWN
from training import batch
from training.batch_inference import captioning, cluster
from training.batch_inference.captioning import Captioning, Job, patiently


class Stopped(KeyboardInterrupt):
    """Ctrl-C in the middle."""


class Here:
    """Does what `cluster` does, and notes the groups; stops before the one with this number."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.stop = -1

    @contextmanager
    def joined(self, address: str | None) -> Iterator[None]:
        yield

    def spread(
        self, groups: Sequence[list[str]], job: Job, workers: int | None
    ) -> Iterator[dict[str, Any]]:
        actor = Captioning(job)
        for number, group in enumerate(groups):
            if number == self.stop:
                raise Stopped
            self.groups.append(group)
            yield actor({"pictures": group})


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    here = Here()
    monkeypatch.setattr(cluster, "joined", here.joined)
    monkeypatch.setattr(cluster, "spread", here.spread)
    return here


def run_batch(*words: object) -> int:
    return batch.main([str(word) for word in words])


def written(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows, by picture; none is there twice."""
    rows = [
        json.loads(line) for file in folder.glob("part-*") for line in file.read_text().splitlines()
    ]
    assert len({row["path"] for row in rows}) == len(rows)
    return {row["path"]: row for row in rows}


def test_a_folder_with_a_bad_picture(
    here: Here, mar: Path, pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = pictures[0].with_name("bad.jpg")
    bad.write_bytes(b"\xff\xd8\xff and then nothing")
    words = ["--model", mar, "--format", "jsonl", "--partition", 3, "--num-captions", 2]
    assert run_batch(pictures[0].parent, tmp_path / "out", *words) == 1
    rows = written(tmp_path / "out")
    assert rows.keys() == {str(path) for path in [*pictures, bad]}
    for path, drawn in zip(pictures, SHOWN, strict=True):
        row = rows[str(path)]
        assert row["caption"] == drawn.caption
        assert 0 < row["confidence"] < 1
        assert len(row["alternatives"]) == 1
        assert row["error"] is None
    assert rows[str(bad)]["error_type"] == "CorruptImage"
    assert rows[str(bad)]["caption"] is None
    assert {len(group) for group in here.groups[:-1]} == {3}
    assert caplog.messages[-1] == f"{len(pictures)} captioned, 1 failed"


def test_what_was_written_before_a_stop_is_not_captioned_again(
    here: Here, mar: Path, pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [pictures[0].parent, tmp_path / "out", "--model", mar, "--partition", 2]
    words += ["--format", "jsonl"]
    here.stop = 1
    assert run_batch(*words) == batch.INTERRUPTED
    assert len(written(tmp_path / "out")) == 2
    first, here.groups, here.stop = here.groups, [], -1
    assert run_batch(*words) == 0
    assert not set(first[0]) & {picture for group in here.groups for picture in group}
    assert len(written(tmp_path / "out")) == len(pictures)
    here.groups = []
    assert run_batch(*words) == 0
    assert here.groups == []
    assert caplog.messages[-1] == "0 captioned, 0 failed"
    assert run_batch(*words, "--beam-size", 2) == 1
    assert "was begun with another beam_size" in caplog.messages[-1]


def test_a_file_that_is_gone_and_a_way_that_fails(
    here: Here, mar: Path, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captioning, "PAUSES_S", (0.0,))
    bytes_of, asked = captioning.read_bytes, []

    def read(place: str) -> bytes:
        asked.append(place)
        if "lost" in place or asked.count(place) == 1:
            raise OSError("the network is away")
        return bytes_of(place)

    monkeypatch.setattr(captioning, "read_bytes", read)
    listed = tmp_path / "list.csv"
    listed.write_text(f"path\n{pictures[0]}\nlost.jpg\ngone.jpg\n")
    assert run_batch(listed, tmp_path / "out", "--model", mar, "--format", "jsonl") == 1
    rows = written(tmp_path / "out")
    assert rows[str(pictures[0])]["caption"] == SHOWN[0].caption
    assert rows[f"{tmp_path}/lost.jpg"]["error_type"] == "OSError"
    assert "the network is away" in rows[f"{tmp_path}/lost.jpg"]["error"]
    assert rows[f"{tmp_path}/gone.jpg"]["error_type"] == "FileNotFoundError"


def test_a_file_that_is_not_there_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def read(place: str) -> bytes:
        asked.append(place)
        raise FileNotFoundError(place)

    monkeypatch.setattr(captioning, "read_bytes", read)
    with pytest.raises(FileNotFoundError):
        patiently("/nowhere.jpg")
    assert asked == ["/nowhere.jpg"]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--num-captions", "4"], 2, "--num-captions can be at most --beam-size"),
        (["--partition", "0"], 2, "--partition"),
        (["--device", "tpu"], 2, "--device"),
    ],
)
def test_options_that_cannot_be_followed(
    options: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        run_batch("a", "b", *options)
    assert raised.value.code == status
    assert message in capsys.readouterr().err


def test_no_picture_and_no_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = [tmp_path, tmp_path / "out", "--model", tmp_path / "no.mar"]
    assert run_batch(*words) == 1
    assert "There is no picture to caption" in caplog.messages[-1]
    (tmp_path / "a.jpg").touch()
    assert run_batch(*words) == 1
    assert "There is no model" in caplog.messages[-1]
    assert not (tmp_path / "out").exists()
