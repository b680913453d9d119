"""Captioned pictures: reading, checking and splitting them."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal
from unicodedata import normalize

from training.common.errors import OptionError, UserError

logger = logging.getLogger(__name__)

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
# Official list files of Flickr8k; a split without its file is simply not there.
SPLIT_FILES = {split: f"Flickr_8k.{split}Images.txt" for split in SPLITS}
MAX_NAMED_PROBLEMS = 10


class DataError(UserError):
    """The data set cannot be used as it is; the message says what to change."""


@dataclass(frozen=True)
class Example:
    """One picture and all its reference captions."""

    path: Path
    captions: tuple[str, ...]
    name: str  # as the data set names the picture: unique, where file names need not be


@dataclass
class Problems:
    """Faults of a data set, collected so that they are named and counted once."""

    strict: bool = False
    found: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        self.found.append(what)

    def report(self, stage: str) -> None:
        """Warn of what was left out, or raise ``DataError`` when strict."""
        if not self.found:
            return
        named = "; ".join(self.found[:MAX_NAMED_PROBLEMS])
        more = len(self.found) - MAX_NAMED_PROBLEMS
        text = f"{stage}: {len(self.found)} problem(s): {named}"
        text += f"; and {more} more." if more > 0 else "."
        if self.strict:
            raise DataError(f"{text} Fix the data, or run without --strict to leave these out.")
        logger.warning("%s They are left out; --strict makes this an error.", text)


def read_splits(
    data: Path, *, images: Path | None = None, strict: bool = False
) -> dict[Split, list[Example]]:
    """Read a data set and divide it into ``train``, ``dev`` and ``test``.

    ``data`` is one of
      - a folder in Kaggle's Flickr8k layout: ``captions.txt`` (or ``.csv``) and ``Images/``;
      - a CSV file with the columns ``image`` and ``caption``, a row a caption;
      - a JSON Lines file of ``{"image": ..., "caption": ...}`` (or ``"captions": [...]``).
    Picture names are relative to ``images``, or else to the file's own folder.

    Official list files in the folder of the captions, a name a line, decide the split; where there
    are none, a hash of the file name does (90 % train, 5 % dev, 5 % test), so that it never
    changes when pictures are added.

    Raises:
        DataError: nothing usable is there, or, under ``strict``, anything is wrong.
    """
    return _divide(*_read_examples(data, images, strict))


def read_more(
    data: Path, splits: Mapping[Split, Sequence[Example]], *, strict: bool = False
) -> list[Example]:
    """The pictures of another data set that may be trained on beside ``splits``.

    That is, all but those that ``splits`` keeps for dev or test, or its own list files do.

    Raises:
        DataError: as ``read_splits``.
    """
    examples, lists = _read_examples(data, None, strict)
    names = {*lists.get("dev", ()), *lists.get("test", ())}
    files = {example.path.resolve() for s in ("dev", "test") for example in splits[s]}
    return [e for e in examples if _spelling(e.name) not in names and e.path.resolve() not in files]


def _read_examples(
    data: Path, images: Path | None, strict: bool
) -> tuple[list[Example], dict[Split, set[str]]]:
    """All captioned pictures of a data set, and the spellings on its official lists."""
    problems = Problems(strict)
    captions_file, folder = _locate(data, images)
    grouped: dict[str, tuple[str, list[str]]] = {}  # by a name's one spelling: the name, captions
    for number, (name, caption) in enumerate(_read_pairs(captions_file), start=1):
        if not (cleaned := clean_caption(caption)):
            problems.add(f"empty caption for {name!r} (entry {number})")
            continue
        grouped.setdefault(_spelling(name), (name, []))[1].append(cleaned)
    examples = []
    for name, captions in grouped.values():
        if path := _find(folder, name):
            examples.append(Example(path, tuple(captions), name))
        else:
            problems.add(f"missing picture {name!r}")
    lists = _read_lists(captions_file.parent)
    for split, listed in lists.items():
        for name in sorted(listed - grouped.keys()):
            problems.add(f"{SPLIT_FILES[split]} names {name!r}, which has no caption")
    problems.report(captions_file.name)
    if not examples:
        raise DataError(
            f"No captioned picture was found: {captions_file.name} names {len(grouped)} "
            "picture(s), none of which is in the folder of pictures. Name it with --images."
        )
    return examples, lists


def read_named(
    paths: Sequence[Path], flag: str, *, strict: bool = False
) -> dict[str, list[Example]]:
    """``read_all`` of each of the data sets that an option names, by their own names.

    Raises:
        DataError: see ``read_all``.
        OptionError: two of them have the same name.
    """
    found = {path.name: read_all(path, strict=strict) for path in paths}
    if len(found) < len(paths):
        raise OptionError(f"{flag} must name folders or files whose own names differ.")
    return found


def read_all(data: Path, *, images: Path | None = None, strict: bool = False) -> list[Example]:
    """All captioned pictures of a data set, of whatever split; see ``read_splits``."""
    splits = read_splits(data, images=images, strict=strict)
    return [example for split in SPLITS for example in splits[split]]


def clean_caption(caption: str) -> str:
    """A caption without surplus space and without its closing full stop.

    Captions are phrases; whether one ends in a full stop is chance in the data, and would cost the
    decoder a step for every sentence.
    """
    return " ".join(caption.split()).rstrip(" .")


def _spelling(name: str) -> str:
    """One spelling for all that name the same picture, so that no two splits share it."""
    return str(PurePosixPath(normalize("NFC", name))) if name else name


def _find(folder: Path, name: str) -> Path | None:
    """The picture; accents may be composed in one place and not in another, as on macOS."""
    spellings = (name, normalize("NFC", name), normalize("NFD", name))
    return next((folder / one for one in spellings if (folder / one).is_file()), None)


def _locate(data: Path, images: Path | None) -> tuple[Path, Path]:
    if data.is_dir():
        found = [path for path in (data / "captions.txt", data / "captions.csv") if path.is_file()]
        if not found:
            raise DataError(
                f"Expected captions.txt in the folder {data}, but it is not there. Give a folder "
                "in Kaggle's Flickr8k layout, or a .csv or .jsonl file of (image, caption)."
            )
        return found[0], images or data / "Images"
    if data.is_file():
        return data, images or data.parent
    raise DataError(f"There is no file or folder {data}.")


def _read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (picture name, caption) from CSV or JSON Lines."""
    lines_of_json = path.suffix.lower() in (".jsonl", ".ndjson")
    read = _read_json_lines if lines_of_json else _read_csv
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            yield from read(path, lines)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error


def _not_utf8(path: Path, error: UnicodeDecodeError) -> DataError:
    return DataError(f"{path.name} must be text in UTF-8, but it cannot be read as such ({error}).")


def _read_csv(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    rows = csv.DictReader(lines, strict=True)
    begins = 1
    try:
        if not {"image", "caption"} <= set(rows.fieldnames or ()):
            raise DataError(
                f"{path.name} must start with a header naming the columns image and caption, "
                f"but it starts with {', '.join(rows.fieldnames or ['nothing'])}."
            )
        begins = rows.line_num + 1
        for row in rows:
            if None in row:
                raise DataError(
                    f"Line {rows.line_num} of {path.name} has more fields than the header names. "
                    "Put captions with commas into double quotes."
                )
            yield (row["image"] or "").strip(), row["caption"] or ""
            begins = rows.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"Line {begins} of {path.name} begins an entry that cannot be read ({error}). Close "
            "each double quote, and write one inside a quoted caption twice."
        ) from error


def _read_json_lines(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            captions = row["captions"] if "captions" in row else [row["caption"]]
            image = str(row["image"])
            if not isinstance(captions, list) or not all(isinstance(c, str) for c in captions):
                raise TypeError
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f'Line {number} of {path.name} must be {{"image": ..., "caption": ...}}, '
                f"but it is {line.strip()[:80]!r}."
            ) from error
        for caption in captions:
            yield image, caption


def _read_lists(folder: Path) -> dict[Split, set[str]]:
    """The spellings of the names on each official list that is there."""
    lists: dict[Split, set[str]] = {}
    for split, name in SPLIT_FILES.items():
        path = folder / name
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else None
        except UnicodeDecodeError as error:
            raise _not_utf8(path, error) from error
        if lines is not None:
            lists[split] = {_spelling(line.strip()) for line in lines if line.strip()}
    return lists


def _divide(examples: list[Example], lists: dict[Split, set[str]]) -> dict[Split, list[Example]]:
    if lists:
        named = set().union(*lists.values())
        # No fault of the data: Flickr8k itself has 91 such pictures.
        if others := [e.name for e in examples if _spelling(e.name) not in named]:
            logger.info(
                "%d of %d captioned pictures are on no list and left out, such as %r.",
                *(len(others), len(examples), others[0]),
            )
        return {s: [e for e in examples if _spelling(e.name) in lists.get(s, ())] for s in SPLITS}
    divided: dict[Split, list[Example]] = {split: [] for split in SPLITS}
    for example in examples:
        divided[hash_split(example.name)].append(example)
    return divided


def hash_split(name: str) -> Split:
    """The split of a picture by its file name alone: 90 % train, 5 % dev, 5 % test."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32
    if share < 0.90:
        return "train"
    return "dev" if share < 0.95 else "test"
