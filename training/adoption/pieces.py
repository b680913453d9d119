"""A published tokenizer: its file for the archive, and which of its tokens begin a word."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from handler.text import TOKENIZER, Pieces
from training.adoption.published import explained, library
from training.adoption.weights import AdoptionError

# How decoders mark a token: what begins a word, or, for BERT's, what does not.
BEGINS = {"ByteLevel": "\u0120", "Metaspace": "\u2581"}
GOES_ON = {"WordPiece": "##"}


def copy_tokenizer(folder: Path, target: Path) -> None:
    """Put a model's ``tokenizer.json`` into a folder, made from its older files where it has none.

    Raises:
        AdoptionError: the model has no tokenizer, or one that cannot be read.
    """
    own = folder / TOKENIZER
    if own.is_file():
        (target / TOKENIZER).write_bytes(own.read_bytes())
        return
    with explained("tokenizer"):
        tokenizer = library().AutoTokenizer.from_pretrained(folder)
        tokenizer.backend_tokenizer.save(str(target / TOKENIZER))


def begins(path: Path) -> Tensor:
    """Which tokens of a ``tokenizer.json`` begin a word, bool ``[V]``; marks alone are no word.

    Raises:
        AdoptionError: it puts words together in a way that is not known here.
    """
    try:
        names = Pieces(path, -1).names
        kind = (json.loads(path.read_text(encoding="utf-8")).get("decoder") or {}).get("type")
    except ValueError as error:
        raise AdoptionError(f"{error}.") from error
    if kind in BEGINS:
        first = [name.startswith(BEGINS[kind]) for name in names]
    elif kind in GOES_ON:
        first = [not name.startswith(GOES_ON[kind]) for name in names]
    else:
        known = ", ".join([*BEGINS, *GOES_ON])
        raise AdoptionError(f"The tokenizer's decoder is {kind!r}; known are {known}.")
    worded = [any(map(str.isalnum, name)) for name in names]
    return torch.tensor(first) & torch.tensor(worded)
