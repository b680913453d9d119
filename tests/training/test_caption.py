"""The command line that captions files and folders."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.drawn import SHOWN
from training import caption
from training.pictures.files import find_pictures

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
    assert caplog.messages[-1] == "0 captioned, 1 skipped"


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
        (["--existing", "append"], "--existing has no effect without --format sidecar or embed"),
        (["--server", "http://a", "--model", "b"], "--model has no effect with --server"),
        (["--in-place"], "--in-place has no effect without --format embed"),
        (["--format", "embed", "--in-place", "--output", "a"], "--output has no effect with"),
        (["--format", "embed", "--existing", "append"], "a picture has one caption"),
        (["--server", "localhost"], "--server must be an address such as http://"),
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
    lines = [
        line for line in result.stderr.splitlines() if "Warning" not in line and line[:1] != " "
    ]
    assert lines[0].startswith(f"{bad}: The JPEG picture")
    assert "2 captioned" in lines[-1]
    assert lines[-1].endswith("1 failed")


def test_pictures_that_share_a_name_keep_their_captions_apart(
    mar: Path, tmp_path: Path, pictures: list[Path]
) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    for source, name in zip(pictures, ("p.png", "P.jpg.png", "p.jpg", "q.png"), strict=False):
        shutil.copy(source, folder / name)
    assert run_caption("--model", mar, "--format", "sidecar", folder) == 0
    texts = {path.name: path.read_text() for path in folder.glob("*.txt")}
    assert texts == {
        name: f"{drawing.caption}\n"
        for name, drawing in zip(
            ("p.png.txt", "P.jpg.png.txt", "p.jpg.txt", "q.txt"), SHOWN, strict=False
        )
    }
    (folder / "p.jpg.txt").unlink()  # a picture that is named alone has the same sidecar
    assert run_caption("--model", mar, "--format", "sidecar", folder / "p.jpg") == 0
    assert (folder / "p.jpg.txt").exists()


@pytest.mark.parametrize("form", ["text", "csv", "jsonl"])
@pytest.mark.parametrize("output", [True, False])
def test_a_name_that_is_not_utf_8(
    mar: Path, pictures: list[Path], capfd: pytest.CaptureFixture[str], form: str, output: bool
) -> None:
    odd = pictures[0].rename(os.fsdecode(os.fsencode(pictures[0].parent) + b"/caf\xe9\tX.png"))
    target = odd.with_name("out")
    more = ["--output", target] if output else []
    command = [sys.executable, "-m", "training.caption", "--model", mar, "--format", form, *more]
    environ = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    subprocess.run([*command, odd, pictures[1]], cwd=ROOT, env=environ, check=True)
    text = target.read_text() if output else capfd.readouterr().out
    assert len(text.splitlines()) == (3 if form == "csv" else 2)
    assert r"caf\udce9" in text
    assert SHOWN[1].caption in text
    if form == "jsonl":
        assert json.loads(text.splitlines()[0])["image"] == str(odd)


def test_what_cannot_be_written_is_named_and_the_rest_is_captioned(
    mar: Path, pictures: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    targets = [path.with_suffix(".txt") for path in pictures[:3]]
    targets[0].mkdir()
    targets[1].symlink_to("/dev/full")
    options = ["--format", "sidecar", "--existing", "overwrite"]
    assert run_caption("--model", mar, *options, *pictures[:3]) == 1
    assert targets[2].read_text() == f"{SHOWN[2].caption}\n"
    said = [message for message in caplog.messages if "cannot be written" in message]
    assert len(said) == 2
    assert "it is a folder" in said[0]
    assert "No space left" in said[1]


def test_the_output_is_tried_before_the_model_is_loaded(
    pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for output in (pictures[0].parent, pictures[0] / "in-a-file"):
        with pytest.raises(SystemExit):
            run_caption("--model", "nowhere.mar", "--output", output, pictures[0])
        assert f"--output: {output} cannot be written" in capsys.readouterr().err


def test_a_full_disk_is_said(
    mar: Path, pictures: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    assert run_caption("--model", mar, "--output", "/dev/full", pictures[0]) == 1
    assert "/dev/full cannot be written: No space left" in caplog.messages[-1]


@pytest.mark.parametrize("left", [b"", b"\n", b"\0" * 9])
def test_a_sidecar_without_a_caption_is_done_anew(
    mar: Path, pictures: list[Path], left: bytes
) -> None:
    pictures[0].with_suffix(".txt").write_bytes(left)
    assert run_caption("--model", mar, "--format", "sidecar", pictures[0]) == 0
    assert pictures[0].with_suffix(".txt").read_text() == f"{SHOWN[0].caption}\n"


def test_linked_folders_are_searched_once_and_what_is_left_out_is_named(
    pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    album = tmp_path / "album"
    album.mkdir()
    (album / "linked").symlink_to(pictures[0].parent)
    (pictures[0].parent / "back").symlink_to(album)
    (album / "drawing.svg").write_text("<svg/>")
    for name in ("a.jfif", "b.JPE", "c.heic", "notes.md"):
        (album / name).touch()
    found = find_pictures([album, album / "a.jfif"])
    assert [path.name for path in found] == [
        *("a.jfif", "b.JPE", "c.heic"),
        *sorted(path.name for path in pictures),
    ]
    assert "drawing.svg" in caplog.text
    assert "notes.md" not in caplog.text
