"""Files wherever they are: paths of this machine, and URLs that pyarrow or fsspec can open."""

from __future__ import annotations

import os
from functools import cache
from urllib.parse import unquote, urlsplit

import fsspec
from pyarrow import ArrowException, fs

from training.common.errors import UserError


def normal(place: str) -> str:
    """A place by the name that every process knows it by: an absolute path, or a URL.

    A ``file:`` URL is a path, and percent signs stand for what they encode; in other URLs a key is
    taken as it is written.
    """
    if place.startswith("file:"):
        place = unquote(urlsplit(place).path)
    return place if "://" in place else os.path.abspath(place)


def locate(place: str) -> tuple[fs.FileSystem, str]:
    """The file system of a normal place, and the path there.

    Raises:
        UserError: nothing here can open URLs of this kind.
    """
    scheme, separator, rest = place.partition("://")
    if not separator:
        return _local(), place
    bucket, _, key = rest.partition("/")
    system, root = _store(f"{scheme}://{bucket}")
    return system, f"{root.rstrip('/')}/{key}".rstrip("/")


def read_bytes(place: str) -> bytes:
    """All of a file.

    Raises:
        OSError: it cannot be read.
        UserError: nothing here can open URLs of this kind.
    """
    system, path = locate(place)
    with system.open_input_file(path) as file:
        return bytes(file.read())


@cache
def _local() -> fs.FileSystem:
    return fs.LocalFileSystem()


@cache
def _store(url: str) -> tuple[fs.FileSystem, str]:
    """A bucket's file system, made once: the first call may have to ask where the bucket is."""
    try:
        return fs.FileSystem.from_uri(url)
    except ArrowException:
        pass  # it is none of pyarrow's own
    try:
        system, root = fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UserError(f"{url} cannot be opened here: {error}.") from error
    return fs.PyFileSystem(fs.FSSpecHandler(system)), root
