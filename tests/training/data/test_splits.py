"""Reading, checking and splitting captioned pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest

from tests.training.drawn import Drawing, drawings, write_captions, write_kaggle
from training.data.splits import (
    DataError,
    Example,
    clean_caption,
    hash_split,
    read_more,
    read_splits,
)

RED = Drawing("red", "circle")


BLUE = Drawing("blue", "square")


def everything(data: Path, **options: object) -> list[Example]:
    """All examples whatever their split, in the order of their names."""
    splits = read_splits(data, **options)  # type: ignore[arg-type]
    return sorted((e for split in splits.values() for e in split), key=lambda e: e.name)


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with two pictures."""
    RED.save(tmp_path)
    BLUE.save(tmp_path)
    return tmp_path


def test_official_lists_decide_the_split(tmp_path: Path) -> None:
    train, dev, test = drawings([0])[:4], drawings([0])[4:6], drawings([0])[6:7]
    write_kaggle(tmp_path, train=train, dev=dev, test=test)
    splits = read_splits(tmp_path)
    for split, drawn in (("train", train), ("dev", dev), ("test", test)):
        assert [e.name for e in splits[split]] == [d.name for d in drawn]  # type: ignore[index]
        assert [e.captions for e in splits[split]] == [d.captions for d in drawn]  # type: ignore[index]
        assert all(e.path.is_file() for e in splits[split])  # type: ignore[index]


def test_more_pictures_are_none_that_are_kept_for_dev_or_test(tmp_path: Path) -> None:
    drawn = drawings([0])
    data = write_kaggle(tmp_path / "a", train=drawn[:4], dev=drawn[4:6], test=drawn[6:7])
    splits = read_splits(data)
    captions = [(f"a/Images/{d.name}", "a model's words") for d in drawn[:7]]
    more = read_more(write_captions(tmp_path / "more.csv", captions), splits)
    assert [e.path.name for e in more] == [d.name for d in drawn[:4]]
    assert more[0].captions == ("a model's words",)
    other = write_kaggle(tmp_path / "b", train=drawn[:3], dev=drawn[3:5])
    assert [e.name for e in read_more(other, splits)] == [d.name for d in drawn[:3]]


def test_a_picture_on_no_list_is_left_out(tmp_path: Path) -> None:
    write_kaggle(tmp_path, train=[RED], dev=[BLUE])
    (tmp_path / "Flickr_8k.devImages.txt").write_text("")
    splits = read_splits(tmp_path)
    assert {split: [e.name for e in listed] for split, listed in splits.items()} == {
        "train": [RED.name],
        "dev": [],
        "test": [],
    }


def test_names_on_lists_are_read_a_line_each_and_whatever_is_not_used_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["my photo 1.png", "caf\u00e9.png", "other.png"]
    (tmp_path / "Images").mkdir()
    for name in names:
        RED.save(tmp_path).rename(tmp_path / "Images" / name)
    write_captions(tmp_path / "captions.txt", [(name, "a red circle") for name in names])
    lists = tmp_path / "Flickr_8k.trainImages.txt", tmp_path / "Flickr_8k.devImages.txt"
    lists[0].write_text("my photo 1.png\r\nforgotten.png\n", encoding="utf-8-sig")
    lists[1].write_text(normalize("NFD", names[1]), encoding="utf-8")
    splits = read_splits(tmp_path)
    assert [e.name for e in splits["train"] + splits["dev"]] == names[:2]
    assert "names 'forgotten.png', which has no caption" in caplog.text
    assert "1 of 3 captioned pictures are on no list and left out, such as 'other.png'" in (
        caplog.text
    )
    with pytest.raises(DataError, match=r"forgotten\.png"):
        read_splits(tmp_path, strict=True)
    lists[0].write_text("my photo 1.png", encoding="utf-16")
    with pytest.raises(DataError, match=r"Flickr_8k\.trainImages\.txt must be text in UTF-8"):
        read_splits(tmp_path)


@pytest.mark.parametrize(("listed", "stored"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_accents_are_found_however_they_are_composed(
    pair: Path, listed: Literal["NFC", "NFD"], stored: Literal["NFC", "NFD"]
) -> None:
    name = "caf\u00e9.png"
    path = (pair / RED.name).rename(pair / normalize(stored, name))
    rows = [(normalize(listed, name), "a red circle"), (f"./{name}", "a circle")]
    (example,) = everything(write_captions(pair / "own.csv", rows), strict=True)
    assert (example.name, example.path) == (normalize(listed, name), path)
    assert example.captions == ("a red circle", "a circle")


def test_without_lists_the_file_name_decides(tmp_path: Path) -> None:
    drawn = drawings(range(8))
    for drawing in drawn:
        drawing.save(tmp_path)
    few = write_captions(tmp_path / "few.csv", [(d.name, d.caption) for d in drawn[::3]])
    all_ = write_captions(tmp_path / "all.csv", [(d.name, d.caption) for d in reversed(drawn)])
    before, after = read_splits(few), read_splits(all_)
    for split in before:
        assert {e.name for e in before[split]} <= {e.name for e in after[split]}
    assert sum(len(listed) for listed in after.values()) == len(drawn)
    assert len(after["train"]) > 0.7 * len(drawn)


def test_the_split_of_a_name_is_fixed_for_ever() -> None:
    assert [hash_split(f"{number}.jpg") for number in (1, 13, 62)] == ["train", "test", "dev"]


def test_the_split_has_about_the_promised_shares() -> None:
    splits = [hash_split(f"{number}.jpg") for number in range(4000)]
    shares = [splits.count(split) / len(splits) for split in ("train", "dev", "test")]
    assert shares == pytest.approx([0.90, 0.05, 0.05], abs=0.015)


def test_csv_with_more_columns_in_another_order(pair: Path) -> None:
    rows = [("1", "a red, round thing", RED.name), ("2", "a circle", RED.name)]
    path = write_captions(pair / "own.csv", rows, header="id,caption,image")
    (example,) = everything(path)
    assert example == Example(pair / RED.name, ("a red, round thing", "a circle"), RED.name)


def test_csv_that_a_spreadsheet_wrote(pair: Path) -> None:
    path = pair / "own.csv"
    path.write_bytes(f'image,caption\r\n{RED.name},"a ""red"" circle"\r\n'.encode("utf-8-sig"))
    assert everything(path)[0].captions == ('a "red" circle',)


def test_json_lines_with_one_or_several_captions(pair: Path) -> None:
    path = pair / "own.jsonl"
    lines = [
        {"image": RED.name, "caption": "a red circle", "more": 1},
        {"image": BLUE.name, "captions": ["a blue square", "a square"]},
    ]
    path.write_text("\n\n".join(json.dumps(line) for line in lines))
    found = {example.name: example.captions for example in everything(path)}
    assert found == {RED.name: ("a red circle",), BLUE.name: ("a blue square", "a square")}


def test_pictures_in_another_folder(pair: Path, tmp_path: Path) -> None:
    path = write_captions(tmp_path / "elsewhere" / "own.csv", [(RED.name, "a red circle")])
    with pytest.raises(DataError, match="No captioned picture was found.*--images"):
        read_splits(path)
    assert everything(path, images=pair)[0].path == pair / RED.name


def test_kaggle_layout_with_pictures_elsewhere(pair: Path) -> None:
    folder = write_captions(pair / "set" / "captions.txt", [(RED.name, "a circle")]).parent
    assert everything(folder, images=pair)[0].path == pair / RED.name


def test_pictures_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    for folder, drawing in (("a", RED), ("b", BLUE)):
        drawing.save(tmp_path / folder).rename(tmp_path / folder / "1.png")
    path = write_captions(tmp_path / "own.csv", [("a/1.png", "a circle"), ("b/1.png", "a square")])
    found = everything(path)
    assert [example.name for example in found] == ["a/1.png", "b/1.png"]
    assert [example.captions for example in found] == [("a circle",), ("a square",)]


@pytest.mark.parametrize(
    ("given", "clean"),
    [("A dog runs .", "A dog runs"), ("  a \t dog\n", "a dog"), ("a dog...", "a dog"), (".", "")],
)
def test_captions_are_cleaned(given: str, clean: str) -> None:
    assert clean_caption(given) == clean


# Rows beside a good one, and what is said of them.
FAULTS = [
    ([("gone.png", "a thing")], "1 problem(s): missing picture 'gone.png'"),
    ([(RED.name, " ")], f"1 problem(s): empty caption for '{RED.name}' (entry 2)"),
    ([(RED.name, " . ")], f"1 problem(s): empty caption for '{RED.name}' (entry 2)"),
    ([(RED.name,)], f"1 problem(s): empty caption for '{RED.name}' (entry 2)"),
    ([("", "a thing")], "1 problem(s): missing picture ''"),
    (
        [("gone.png", "a thing"), ("gone.png", "one more"), (RED.name, "")],
        "2 problem(s)",
    ),
    (
        [(f"gone{n}.png", "a thing") for n in range(13)],
        "13 problem(s): missing picture 'gone0.png'",
    ),
    ([(f"gone{n}.png", "a thing") for n in range(13)], "'gone9.png'; and 3 more."),
]


@pytest.mark.parametrize(("rows", "said"), FAULTS)
def test_faults_are_named_and_counted(
    pair: Path, caplog: pytest.LogCaptureFixture, rows: list[tuple[str, ...]], said: str
) -> None:
    path = write_captions(pair / "own.csv", [(BLUE.name, "a blue square"), *rows])
    assert [example.name for example in everything(path)] == [BLUE.name]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert said in record.message
    with pytest.raises(DataError) as raised:
        everything(path, strict=True)
    assert said in str(raised.value)
    assert "--strict" in str(raised.value)


def test_a_clean_data_set_says_nothing(pair: Path, caplog: pytest.LogCaptureFixture) -> None:
    everything(write_captions(pair / "own.csv", [(RED.name, "a circle")]), strict=True)
    assert caplog.records == []


# A file's name and bytes, and what is said of it.
BAD_FILES = [
    ("own.csv", b"", "must start with a header naming the columns image and caption"),
    ("own.csv", b"file,text\na.png,a dog\n", "but it starts with file, text"),
    (
        "own.csv",
        b"image,caption\nred.png,a red, round thing\n",
        "Line 2 of own.csv has more fields than the header names",
    ),
    ("own.csv", b"image,caption\nred.png,caf\xe9\n", "own.csv must be text in UTF-8"),
    ("own.csv", b"image,caption\n", "own.csv names 0 picture"),
    (
        "own.csv",
        b'image,caption\n0.png,a\n1.png,"b\n2.png,c\n',
        "Line 3 of own.csv begins an entry that cannot be read (unexpected end of data)",
    ),
    ("own.csv", b'image,caption\n0.png,"a\n1.png,"b"\n2.png,c\n', "Line 2 of own.csv begins"),
    ("own.csv", b"image,caption\n0.png," + b"x" * 140_000, "Line 2 of own.csv begins an entry"),
    ("own.csv", b'"image,caption\n0.png,a', "Line 1 of own.csv begins an entry"),
    ("OWN.NDJSON", b"nonsense", "Line 1 of OWN.NDJSON must be"),
    ("own.jsonl", b'{"image": "a.png", "caption": "a dog"}\nnonsense\n', "Line 2 of own.jsonl"),
    ("own.jsonl", b'{"image": "a.png"}\n', 'Line 1 of own.jsonl must be {"image": ...'),
    ("own.jsonl", b'["a.png", "a dog"]\n', "Line 1 of own.jsonl"),
    ("own.jsonl", b'"captions"\n', "Line 1 of own.jsonl"),
    ("own.jsonl", b'{"image": "a.png", "caption": null}\n', "Line 1 of own.jsonl"),
    ("own.jsonl", b'{"image": "a.png", "captions": null}\n', "Line 1 of own.jsonl"),
    ("own.jsonl", b'{"image": "a.png", "captions": "a dog"}\n', "Line 1 of own.jsonl"),
    ("own.jsonl", b'\xff\xfe{"image"', "own.jsonl must be text in UTF-8"),
]


@pytest.mark.parametrize(("name", "content", "said"), BAD_FILES)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_splits(tmp_path / name)
    assert said in str(raised.value)


def test_no_such_file_and_no_such_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no file or folder .*nowhere\."):
        read_splits(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"Expected captions\.txt in the folder"):
        read_splits(tmp_path)
