"""What captioning a file gave, and what it comes to for many of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from training.common.cli import unwritable

TRUST = {"right": "Looks right", "check": "Check", "unknown": "Can't tell"}  # the most first
MAX_NAMED = 10  # of the pictures that are to be checked


@dataclass(frozen=True)
class Caption:
    """One sentence for a picture."""

    text: str
    log_probability: float  # natural logarithm, of the whole sentence with its <EOS>
    confidence: float  # 0 to 1: see training.model.confidence
    trust: str | None = None  # how far it can be trusted, where the model card says so


@dataclass(frozen=True)
class Result:
    """The captions of one file, best first, or the reason why there are none."""

    path: Path
    captions: list[Caption]
    error: str | None = None
    tags: list[dict[str, Any]] = field(default_factory=list)  # as the handler answers them

    @property
    def trust(self) -> str:
        """How far the first caption can be trusted; one that says nothing is to be checked."""
        return self.captions[0].trust or "check"


def trusted(results: Iterable[Result], least: str) -> Iterator[Result]:
    """Take away the captions of pictures whose first one is trusted less than ``least``."""
    levels = list(TRUST)
    for result in results:
        if result.captions and levels.index(result.trust) > levels.index(least):
            yield replace(result, captions=[])
        else:
            yield result


def writable(targets: Iterable[tuple[Path, Path]]) -> tuple[list[Path], list[Result]]:
    """Of pictures with the files to write for them, those that can be, and why others cannot."""
    todo, refused = [], []
    for picture, target in targets:
        if reason := unwritable(target):
            refused.append(Result(picture, [], reason))
        else:
            todo.append(picture)
    return todo, refused


class Tally:
    """Counts what came of the pictures."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._to_check: list[str] = []

    def skip(self, pictures: int) -> None:
        """Count pictures that are not captioned."""
        self._counts["skipped"] += pictures

    def count(self, results: Iterable[Result]) -> Iterator[Result]:
        """Pass results on and count them."""
        for result in results:
            if result.error:
                self._counts["failed"] += 1
            elif result.captions:
                self._counts["captioned"] += 1
                self._counts[result.trust] += 1
                if result.trust != "right":
                    self._to_check.append(result.path.name)
            else:
                self.skip(1)
            yield result

    @property
    def failed(self) -> bool:
        """Whether any picture had no caption although it was to have one."""
        return bool(self._counts["failed"])

    def closing(self) -> str:
        """The closing line, and the pictures to look at before it."""
        counts = self._counts
        parts = [f"{counts['captioned']} captioned"]
        for name, words in (("check", "to check"), ("unknown", "can't tell")):
            if counts[name]:
                parts.append(f"{counts[name]} {words}")
        parts += [f"{counts[name]} {name}" for name in ("skipped", "failed") if counts[name]]
        more = len(self._to_check) - MAX_NAMED
        named = ", ".join(self._to_check[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
        return (f"Look at: {named}\n" if named else "") + ", ".join(parts)
