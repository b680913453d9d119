"""Which pictures a job is about: those of a folder, a pattern or a list."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import ArrowException, csv, fs, json
from pyarrow import parquet as pq

from training.batch_inference.files import locate, normal
from training.common.errors import UserError
from training.pictures.files import SUFFIXES, find_pictures

COLUMNS = ("path", "url", "uri", "image", "file")  # looked for in a list, in this order
LISTS: dict[str, Callable[[Any], Any]] = {
    ".parquet": pq.ParquetFile,
    ".csv": csv.read_csv,
    ".jsonl": json.read_json,
}

logger = logging.getLogger(__name__)


def find(place: str, column: str | None = None) -> list[str]:
    """The pictures of a place, each once, as paths or URLs.

    Args:
        place: a folder, searched with its subfolders; a pattern with ``*`` (within a folder's name)
            or ``**`` (any folders); a ``.parquet``, ``.csv`` or ``.jsonl`` list of pictures, or a
            pattern of lists; or one picture. Relative names in a list are relative to it.
        column: of a list; None: the first of ``COLUMNS`` that it has.

    Raises:
        UserError: there is nothing at the place, or a list cannot be read.
    """
    place = normal(place)
    system, path = locate(place)
    kind = system.get_file_info(path).type
    if kind == fs.FileType.Directory and "://" not in place:
        found = [str(picture) for picture in find_pictures([Path(place)])]
    elif kind == fs.FileType.Directory:
        found = [one for one in _below(place) if _suffix(one) in SUFFIXES]
    elif kind == fs.FileType.File:
        found = [*_named(place, column)]
    elif "*" in place:
        base = place[: place.index("*")].rpartition("/")[0] or "/"
        pattern = _pattern(place)
        matching = [one for one in _below(base) if pattern.fullmatch(one)]
        found = [picture for one in matching for picture in _named(one, column)]
    else:
        raise UserError(f"There is no {place}.")
    return list(dict.fromkeys(found))


def _below(place: str) -> list[str]:
    """The files in a folder and its subfolders, sorted."""
    system, path = locate(place)
    try:
        there = system.get_file_info(fs.FileSelector(path, recursive=True))
    except OSError as error:
        raise UserError(f"{place} cannot be listed: {error}.") from error
    files = (one.path for one in there if one.type == fs.FileType.File)
    return sorted(place.rstrip("/") + file[len(path.rstrip("/")) :] for file in files)


def _pattern(place: str) -> re.Pattern[str]:
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    parts = re.split(r"(\*\*/|\*\*|\*)", place)
    return re.compile("".join(meanings.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _named(place: str, column: str | None) -> Iterator[str]:
    """The pictures that a list names, or the place itself, which is no list."""
    if _suffix(place) not in LISTS:
        yield place
        return
    folder = place.rpartition("/")[0]
    names = _column(place, column)
    left_out = 0
    for name in names:
        if not name:
            left_out += 1
        elif "://" in name or name.startswith(("/", "file:")):
            yield normal(name)
        else:
            yield normal(f"{folder}/{name}")
    if left_out:
        logger.warning("%s: %d rows name no picture", place, left_out)


def _column(place: str, column: str | None) -> list[str | None]:
    """The values of the column that names the pictures."""
    system, path = locate(place)
    try:
        with system.open_input_file(path) as file:
            table = LISTS[_suffix(place)](file)
            parquet = isinstance(table, pq.ParquetFile)
            names = table.schema_arrow.names if parquet else table.column_names
            wanted = [column] if column else COLUMNS
            chosen = next((name for name in wanted if name in names), None)
            if chosen is None:
                raise UserError(
                    f"{place} has no column {' or '.join(wanted)}, but {', '.join(names)}. "
                    "--column names the one with the pictures."
                )
            values = (table.read([chosen]) if parquet else table)[chosen].to_pylist()
    except (ArrowException, OSError) as error:
        raise UserError(f"{place} cannot be read as a list: {error}") from error
    return [None if value is None else str(value) for value in values]


def _suffix(place: str) -> str:
    return PurePosixPath(place).suffix.lower()
