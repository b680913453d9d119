"""Names and versions of models: as TorchServe and the page take them, and checked at once."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from training import archive, train
from training.common.errors import OptionError
from training.packaging import label
from training.packaging.label import Label, add_label_arguments, read_label
from webui.web import names


@pytest.mark.parametrize(
    "name",
    ["a", "1.0", "A-b_c.d", "", "a b", "token-1", "é", "-a", ".a", "a/b", "a" * 100, "a" * 101],
)
def test_the_rule_of_names_is_the_pages(name: str) -> None:
    assert bool(label.NAME.fullmatch(name)) is names.is_name(name)


def read(archive: str, *words: str) -> Label:
    parser = argparse.ArgumentParser()
    add_label_arguments(parser)
    return read_label(parser.parse_args(words), Path("model_store", archive))


def test_a_model_is_called_as_its_file_unless_it_is_named() -> None:
    assert read("mine.mar") == Label("mine", "1.0")
    assert read("captioner-2.0.mar", "--name", "captioner", "--version", "2.0") == Label(
        "captioner", "2.0"
    )
    assert read("a.mar", "--data-name", "photos").data_name == "photos"


@pytest.mark.parametrize("name", ["", "a b", "token-1", "é", "-a", "a/b", "a" * 101])
def test_a_name_that_cannot_be_served_is_an_error(name: str) -> None:
    with pytest.raises(OptionError, match="--name"):
        read("a.mar", "--name", name) if name[:1] != "-" else Label(name)
    with pytest.raises(OptionError, match="--version"):
        Label("a", name)


@pytest.mark.parametrize("file", ["mine", "mine.zip", "my model.mar", "token.mar", ".mar"])
def test_a_file_that_cannot_be_registered_is_an_error(file: str) -> None:
    with pytest.raises(OptionError, match="file name"):
        read(file, "--name", "captioner")


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["--archive", "a.mar", "--version", "2 0"], "--version"),
        (["--archive", "a.mar", "--name", "token"], "--name"),
        (["--archive", "a b.mar"], "file name"),
        (["--name", "captioner"], "--name has no effect without --archive"),
        (["--version", "2.0"], "--version has no effect without --archive"),
        (["--data-name", "mine"], "--data-name has no effect without --archive"),
    ],
)
def test_training_does_not_begin_with_a_label_that_is_wrong(
    words: list[str], key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        train.main(["--data", "nowhere", "--output", str(tmp_path / "run"), *words])
    assert raised.value.code == 2
    assert key in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_archiving_checks_its_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        archive.main(["--run", str(tmp_path), "--output", "a.mar", "--version", "v/2"])
    assert "--version" in capsys.readouterr().err


def test_an_archive_that_could_not_be_written_is_refused_first(tmp_path: Path) -> None:
    (tmp_path / "mine.mar").mkdir()
    (tmp_path / "file").touch()
    parser = argparse.ArgumentParser()
    add_label_arguments(parser)
    for path in (tmp_path / "mine.mar", tmp_path / "file" / "mine.mar"):
        with pytest.raises(OptionError, match="cannot be written"):
            read_label(parser.parse_args([]), path)
