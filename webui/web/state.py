"""What is to be served, in one small file that outlives the page, TorchServe and the machine.

Several pages keep it in the store that they share, and each has a copy in its file.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from webui.web.names import is_name
from webui.web.shared import PREFIX, Memory, Redis, Shared, StoreAway

log = logging.getLogger(__name__)

T = TypeVar("T")

FORMAT = 1
KEY = "wanted"
MOST = 65_535  # a number of workers, of pictures or of milliseconds is below this


@dataclass
class WantedVersion:
    """How a version was registered; None: as the archive or TorchServe's configuration says."""

    archive: str
    workers: int | None = None
    batch_size: int | None = None
    max_batch_delay: int | None = None  # milliseconds


@dataclass
class WantedModel:
    """The versions of a model that are to be served."""

    default: str
    previous: list[str] = field(default_factory=list)  # defaults to roll back to, the newest last
    versions: dict[str, WantedVersion] = field(default_factory=dict)


@dataclass
class Note:
    """What the administrator wrote about a version; it outlives the version's registration."""

    note: str = ""
    tags: list[str] = field(default_factory=list)


@dataclass
class Wanted:
    """All that is to be served."""

    torchserve: str = ""  # the starts whose load_models was taken in, the last of them last
    loaded: dict[str, str] = field(default_factory=dict)  # what that named: version -> archive
    models: dict[str, WantedModel] = field(default_factory=dict)
    canary: dict[str, Any] | None = None  # its version and its share
    notes: dict[str, dict[str, Note]] = field(default_factory=dict)  # by model and version


class State:
    """What is wanted, in the shared store and, where there is a `path`, in a JSON file."""

    def __init__(self, path: Path | None, shared: Shared | None = None) -> None:
        self._path = path
        self._shared = shared or Memory()
        self._lock = threading.RLock()
        # With its text in the shared store; both as one, for threads take them over at any time.
        self._now = Wanted(), ""
        self._unwritten: str | None = None
        if path is not None and path.exists():
            self._read(path)
        elif path is not None:
            self._write()  # so that a folder that cannot be written is known from the start

    @property
    def several(self) -> bool:
        """Whether several pages share what is wanted, each for a TorchServe of its own."""
        return isinstance(self._shared, Redis)

    @property
    def problem(self) -> str | None:
        """Why what is wanted cannot be changed, or would not outlive the page."""
        return self._shared.problem or self._unwritten

    def get(self) -> Wanted:
        """What is wanted now, or was before the shared store went away; to be read only."""
        with suppress(StoreAway):
            return self._fetch()
        return self._now[0]

    def _fetch(self) -> Wanted:
        """What is wanted, after another page's changes. Raises StoreAway."""
        [text] = self._shared.texts(KEY)
        wanted, known = self._now
        if text is None:  # at the beginning, or when the store lost what it had
            if wanted != Wanted():
                self._shared.put(KEY, _text(wanted), new=True)
        elif text != known:
            try:
                wanted = parse(json.loads(text))
            except (ValueError, RecursionError) as error:
                raise StoreAway(
                    f"What is to be served cannot be read in the shared store: {error}. Have every "
                    f"page run the same release, or remove the store's key {PREFIX}{KEY}."
                ) from error
            self._now = wanted, text
            if self._lock.acquire(blocking=False):  # else a change is about to write it
                self._write()
                self._lock.release()
        return wanted

    @contextmanager
    def change(self) -> Iterator[Wanted]:
        """Change what is wanted; written when the block ends, and forgotten when it fails.

        Raises StoreAway, before the block or after it.
        """
        with self._lock, self._shared.locked(KEY):
            before = self._fetch()
            changed = deepcopy(before)
            yield changed
            if changed != before:
                text = _text(changed)
                self._shared.put(KEY, text)
                self._now = changed, text
                self._write()

    def _read(self, path: Path) -> None:
        try:
            self._now = parse(json.loads(path.read_bytes())), ""
        except (OSError, ValueError, RecursionError) as error:
            aside = path.with_name(f"{path.name}.damaged")
            log.error(
                "%s cannot be read (%s). It is set aside as %s, and what TorchServe serves now is "
                "taken for what is wanted.",
                *(path, error, aside.name),
            )
            try:
                os.replace(path, aside)
            except OSError as failed:
                log.error("%s cannot be set aside: %s", path, failed)

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Into place as a whole: a reader, or a crash, never meets half of it.
            new = self._path.with_suffix(".new")
            with open(new, "w", encoding="utf-8", opener=partial(os.open, mode=0o600)) as file:
                file.write(f"{_text(self._now[0])}\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self._path)
            self._unwritten = None
        except OSError as error:
            log.error("%s cannot be written: %s", self._path, error)
            self._unwritten = (
                f"The state folder cannot be written ({error.strerror}), so the last changes will "
                "not outlive the page. Make room, or give the page's user the right to write."
            )


def _text(wanted: Wanted) -> str:
    return json.dumps({"format": FORMAT, **asdict(wanted)}, indent=2)


def parse(raw: Any) -> Wanted:
    """What a file says. Raises ValueError with what was expected there and what came."""
    whole = _is(dict, raw, "an object")
    if whole.get("format") != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {whole.get('format')!r}")
    loaded = _is(dict, whole.get("loaded"), "an object for loaded")
    models = _is(dict, whole.get("models"), "an object for models")
    canary = whole.get("canary")
    return Wanted(
        torchserve=_is(str, whole.get("torchserve"), "a text for torchserve"),
        loaded={one: _archive(archive) for one, archive in loaded.items()},
        models={_name(name): _model(model) for name, model in models.items()},
        canary=None if canary is None else _canary(canary),
        notes={
            _name(model): {_name(version): _note(note) for version, note in notes.items()}
            for model, notes in _is(dict, whole.get("notes", {}), "an object for notes").items()
        },
    )


def _model(raw: Any) -> WantedModel:
    model = _is(dict, raw, "an object for a model")
    previous = _is(list, model.get("previous"), "a list for previous")
    versions = _is(dict, model.get("versions"), "an object for versions")
    return WantedModel(
        default=_name(model.get("default")),
        previous=[_name(one) for one in previous],
        versions={_name(name): _version(version) for name, version in versions.items()},
    )


def _version(raw: Any) -> WantedVersion:
    version = _is(dict, raw, "an object for a version")
    numbers = ("workers", "batch_size", "max_batch_delay")
    return WantedVersion(
        _archive(version.get("archive")), *(_number(version.get(name), name) for name in numbers)
    )


def _note(raw: Any) -> Note:
    note = _is(dict, raw, "an object for a note")
    tags = _is(list, note.get("tags"), "a list for tags")
    return Note(_is(str, note.get("note"), "a text for note"), [_is(str, t, "a tag") for t in tags])


def _canary(raw: Any) -> dict[str, Any]:
    canary = _is(dict, raw, "an object for canary")
    share = canary.get("share")
    if not isinstance(share, int | float) or not 0 < share <= 1:
        raise ValueError(f"expected a share above 0 and up to 1, got {share!r}")
    return {"version": _name(canary.get("version")), "share": share}


def _number(value: Any, name: str) -> int | None:
    if value is None or (type(value) is int and 0 <= value <= MOST):
        return value
    raise ValueError(f"expected a whole number for {name}, got {value!r}")


def _name(value: Any) -> str:
    if isinstance(value, str) and is_name(value):
        return value
    raise ValueError(f"expected the name of a model or a version, got {value!r}")


def _archive(value: Any) -> str:
    # Not only names that the page would accept: load_models may name others.
    return _is(str, value, "the name of an archive")


def _is(kind: type[T], value: Any, what: str) -> T:
    if isinstance(value, kind):
        return value
    raise ValueError(f"expected {what}, got {value!r:.80}")
