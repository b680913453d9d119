"""Reading, checking, splitting and batching captioned pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from handler.text import EOS, PAD
from tests.training.drawn import Drawing, drawings, write_captions, write_kaggle
from training.data.augment import Augmentation
from training.data.batches import collate, drop_unreadable, get_loader
from training.data.splits import DataError, Example, clean_caption, hash_split, read_splits
from training.data.vocabulary import Vocabulary

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


def test_a_picture_on_no_list_is_left_out(tmp_path: Path) -> None:
    write_kaggle(tmp_path, train=[RED], dev=[BLUE])
    (tmp_path / "Flickr_8k.devImages.txt").write_text("")
    splits = read_splits(tmp_path)
    assert {split: [e.name for e in listed] for split, listed in splits.items()} == {
        "train": [RED.name],
        "dev": [],
        "test": [],
    }


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


def test_unreadable_pictures_are_named(pair: Path, caplog: pytest.LogCaptureFixture) -> None:
    (pair / "text.png").write_text("no picture")
    cut = pair / "cut.png"
    cut.write_bytes((pair / RED.name).read_bytes()[:100])
    names = [RED.name, "text.png", "cut.png"]
    examples = [Example(pair / name, ("a thing",), name) for name in names]
    assert drop_unreadable(examples, 32) == examples[:1]
    assert "2 problem(s): unreadable picture 'text.png'" in caplog.text
    assert "unreadable picture 'cut.png' (The PNG picture is truncated" in caplog.text
    with pytest.raises(DataError, match="2 problem"):
        drop_unreadable(examples, 32, strict=True)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary(1).build(drawing.caption for drawing in drawings([0]))


@pytest.fixture
def examples(pair: Path) -> list[Example]:
    return [
        Example(pair / RED.name, ("a red circle", "a circle on white"), RED.name),
        Example(pair / BLUE.name, ("a blue square",), BLUE.name),
    ]


def test_a_batch_pads_captions_and_keeps_their_places(
    examples: list[Example], vocabulary: Vocabulary
) -> None:
    loader, dataset = get_loader(examples, vocabulary, image_size=32, batch_size=2)
    (batch,) = list(loader)
    assert (batch.images.shape, batch.images.dtype) == ((2, 3, 32, 32), torch.uint8)
    assert batch.indices.tolist() == [0, 1]
    code = vocabulary.stoi
    circle = [code["a"], code["red"], code["circle"], EOS, PAD]
    white = [code["a"], code["circle"], code["on"], code["white"], EOS]
    square = [code["a"], code["blue"], code["square"], EOS, PAD]
    assert batch.captions.tolist() == [[circle, white], [square, [PAD] * 5]]
    assert torch.equal(batch.images[1], dataset[1][0])
    # A red circle on white: its middle is red, its corner white.
    assert batch.images[0, :, 16, 16].tolist() == [255, 0, 0]
    assert batch.images[0, :, 0, 0].tolist() == [255, 255, 255]


def test_collate_takes_features() -> None:
    items = [(torch.zeros(4, 6), [[4, EOS]], 3), (torch.ones(4, 6), [[4, 5, EOS]], 1)]
    batch = collate(items)
    assert batch.images.shape == (2, 4, 6)
    assert batch.captions.tolist() == [[[4, EOS, PAD]], [[4, 5, EOS]]]
    assert batch.indices.tolist() == [3, 1]


def test_the_sampler_s_epoch_decides_the_order(pair: Path, vocabulary: Vocabulary) -> None:
    example = Example(RED.save(pair), ("a red circle",), RED.name)
    loader, dataset = get_loader(
        [example] * 20, vocabulary, image_size=8, batch_size=6, shuffle=True
    )

    def order(seed: int) -> list[int]:
        loader.sampler.set_epoch(seed)  # type: ignore[attr-defined]
        return [index for batch in loader for index in batch.indices.tolist()]

    assert len(dataset) == 20
    assert len(loader) == 4
    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == list(range(20))


def test_captions_are_cut_at_max_tokens(examples: list[Example], vocabulary: Vocabulary) -> None:
    _, dataset = get_loader(examples, vocabulary, max_tokens=2)
    assert [len(caption) for caption in dataset.tokens[0]] == [2, 2]
    assert EOS not in dataset.tokens[0][0]


def test_augmenting_mirrors_about_half_of_the_pictures(
    examples: list[Example], vocabulary: Vocabulary, pair: Path
) -> None:
    lone = [Example(Drawing("red", "square", 9).save(pair), ("a red square",), "a")]
    _, dataset = get_loader(lone, vocabulary, image_size=32, augmentation=Augmentation(flips=True))
    _, plain = get_loader(lone, vocabulary, image_size=32)
    original = plain[0][0]
    torch.manual_seed(0)
    seen = [dataset[0][0] for _ in range(40)]
    mirrored = [torch.equal(pixels, original.flip(-1)) for pixels in seen]
    kept = [torch.equal(pixels, original) for pixels in seen]
    assert sum(mirrored) + sum(kept) == 40
    assert 8 < sum(mirrored) < 32
    assert all(torch.equal(plain[0][0], original) for _ in range(5))
