"""The command line that captions files and folders."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.drawn import SHOWN
from training import caption

ROOT = Path(__file__).resolve().parents[2]


def run_caption(*words: object) -> int:
    return caption.main([str(word) for word in words])


def test_text(mar: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_caption("--model", mar, *pictures[:2]) == 0
    out = capsys.readouterr().out
    assert out == "".join(
        f"{path}\t{d.caption}\n" for path, d in zip(pictures[:2], SHOWN, strict=False)
    )


def test_csv(mar: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_caption("--model", mar, "--format", "csv", "--num-captions", 2, pictures[0]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert rows[0]["image"] == str(pictures[0])
    assert rows[0]["caption"] == SHOWN[0].caption
    assert float(rows[1]["log_probability"]) < float(rows[0]["log_probability"]) < 0
    assert 0 < float(rows[0]["confidence"]) < 1


def test_json_lines(mar: Path, pictures: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "captions.jsonl"
    options = ["--format", "jsonl", "--num-captions", 3, "--output", output]
    assert run_caption("--model", mar, *options, *pictures[:2]) == 0
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["image"] for line in lines] == [str(path) for path in pictures[:2]]
    assert [len(line["captions"]) for line in lines] == [3, 3]
    assert lines[1]["captions"][0]["caption"] == SHOWN[1].caption
    assert {"caption", "log_probability", "confidence"} <= set(lines[0]["captions"][0])


@pytest.mark.parametrize(
    ("existing", "content"),
    [
        ("skip", "mine\n"),
        ("overwrite", f"{SHOWN[0].caption}\n"),
        ("append", f"mine\n{SHOWN[0].caption}\n"),
    ],
)
def test_sidecars(mar: Path, pictures: list[Path], existing: str, content: str) -> None:
    first, second = (path.with_suffix(".txt") for path in pictures[:2])
    first.write_text("mine\n")
    options = ["--format", "sidecar", "--existing", existing]
    assert run_caption("--model", mar, *options, *pictures[:2]) == 0
    assert first.read_text() == content
    assert second.read_text() == f"{SHOWN[1].caption}\n"


def test_nothing_is_left_to_caption(
    mar: Path, pictures: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    pictures[0].with_suffix(".txt").write_text("mine\n")
    assert run_caption("--model", mar, "--format", "sidecar", pictures[0]) == 0
    assert "already" in caplog.messages[-1]


def test_folders_and_their_subfolders(
    mar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "album"
    drawn = [SHOWN[0].save(folder / "b"), SHOWN[1].save(folder), SHOWN[2].save(folder / "a" / "c")]
    drawn[1] = drawn[1].rename(folder / "SHOUTED.PNG")
    (folder / "notes.txt").write_text("no picture, and not taken for one")
    (folder / "folder.jpg").mkdir()
    odd = SHOWN[3].save(tmp_path).rename(tmp_path / "picture.without-ending")
    assert run_caption("--model", mar, folder, odd) == 0
    named = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert named == [str(drawn[1]), str(drawn[2]), str(drawn[0]), str(odd)]


def test_an_empty_folder(mar: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run_caption("--model", mar, tmp_path) == 1
    assert "there is no picture to caption" in caplog.messages[-1]


def test_no_model(pictures: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    assert run_caption("--model", "nowhere.mar", pictures[0]) == 1
    assert "There is no model nowhere.mar" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (["--beam-size", "9"], "--beam-size"),
        (["--num-captions", "4"], "--num-captions can be at most --beam-size"),
        (["--max-length", "0"], "--max-length"),
        (["--threads", "0"], "--threads"),
        (["--existing", "append"], "--existing has no effect without --format sidecar"),
        (["--format", "sidecar", "--output", "a.txt"], "--output has no effect with"),
    ],
)
def test_options_that_cannot_be_followed(
    options: list[str], key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        run_caption("a.jpg", *options)
    assert raised.value.code == 2
    assert key in capsys.readouterr().err


def test_the_program_names_what_it_could_not_read(mar: Path, pictures: list[Path]) -> None:
    bad = pictures[0].with_name("bad.jpg")
    bad.write_bytes(b"\xff\xd8\xff and then nothing")
    command = [sys.executable, "-m", "training.caption", "--model", mar, pictures[0], bad]
    result = subprocess.run(
        [*command, pictures[1]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    captions = [line.split("\t")[1] for line in result.stdout.splitlines()]
    assert captions == [SHOWN[0].caption, SHOWN[1].caption]
    (line,) = [
        line for line in result.stderr.splitlines() if "Warning" not in line and line[:1] != " "
    ]
    assert line.startswith(f"{bad}: The JPEG picture")
