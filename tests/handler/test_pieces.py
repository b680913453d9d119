"""Words made of pieces: their spelling, their spaces and what they are made of."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from handler.text import Pieces, read_words, words_file
from tests.training.adoption.published import END, byte_pieces, word_pieces
from training.adoption.pieces import begins
from training.adoption.weights import AdoptionError


@pytest.fixture(scope="module", params=["words", "bytes"])
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.json"
    (word_pieces() if request.param == "words" else byte_pieces()).save(str(path))
    return path


@pytest.mark.parametrize(
    "sentence",
    [
        "a man'b dogs run on snowy skateboards, two balls.",
        "two people stand in the street - with a cat",
        "a",
        "",
    ],
)
def test_pieces_become_words(kind: Path, sentence: str) -> None:
    ids = Tokenizer.from_file(str(kind)).encode(sentence, add_special_tokens=False).ids
    text, words = read_words(kind, END).read([*ids, END, -1, -1])
    assert " ".join(word.text for word in words) == text
    # Each token is part of one word, in order.
    assert [place for word in words for place in word.places] == list(range(len(ids)))
    assert text.replace(" ", "") == sentence.replace(" ", "")


def test_a_word_is_all_of_its_pieces(kind: Path) -> None:
    ids = Tokenizer.from_file(str(kind)).encode("a snowy skateboard").ids
    _, words = read_words(kind, END).read(ids)
    assert [word.text for word in words] == ["a", "snowy", "skateboard"]
    assert sum(len(word.places) for word in words) == len(ids) > 3


def test_which_tokens_begin_a_word(kind: Path) -> None:
    pieces = Pieces(kind, END)
    first = [name for name, begin in zip(pieces.names, begins(kind), strict=True) if begin]
    assert len(first) > 5
    assert not any(name.startswith("##") or name in ".,'-" for name in first)
    if "bytes" in str(kind):
        assert all(name.startswith("\u0120") for name in first)


def test_a_tokenizer_that_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(AdoptionError, match=r"tokenizer\.json cannot be read"):
        begins(path)
    word_pieces().save(str(path))
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "decoder": {"type": "Fuse"}}))
    with pytest.raises(AdoptionError, match="'Fuse'; known are ByteLevel"):
        begins(path)


def test_serving_says_which_package_is_missing(kind: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ValueError, match="pip install tokenizers"):
        Pieces(kind, END)


def test_the_file_of_the_words(kind: Path, tmp_path: Path) -> None:
    assert words_file(kind.parent) == kind
    assert words_file(tmp_path) == tmp_path / "vocab.json"
