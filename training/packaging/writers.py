"""Captions of files as text, CSV, JSON Lines or sidecar files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TextIO

from training.packaging.inference import Caption, Result

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"]
    + [".heic", ".heif", ".avif"]
)  # looked for in folders; a file named outright is tried whatever it is called
EXISTING = ("skip", "overwrite", "append")


def write_text(results: Iterable[Result], out: TextIO) -> None:
    """A line a caption: the file, a tab, the sentence."""
    for result in results:
        for caption in result.captions:
            print(result.path, caption.text, sep="\t", file=out, flush=True)


def write_csv(results: Iterable[Result], out: TextIO) -> None:
    """Columns image, caption, rank, log_probability, confidence, trust, tags."""
    rows = csv.writer(out)
    rows.writerow(["image", "caption", "rank", "log_probability", "confidence", "trust", "tags"])
    for result in results:
        tags = "; ".join(tag["word"] for tag in result.tags)
        for rank, caption in enumerate(result.captions, start=1):
            text, *scores = _rounded(caption)
            rows.writerow([result.path, text, rank, *scores, caption.trust, tags])


def write_json_lines(results: Iterable[Result], out: TextIO) -> None:
    """An object a picture, with all its captions and its tags."""
    names = ("caption", "log_probability", "confidence")
    for result in results:
        captions = [
            dict(zip(names, _rounded(caption), strict=True))
            | ({"trust": caption.trust} if caption.trust else {})
            for caption in result.captions
        ]
        line = {"image": str(result.path), "captions": captions, "tags": result.tags}
        print(json.dumps(line, ensure_ascii=False), file=out, flush=True)


def _rounded(caption: Caption) -> tuple[str, float, float]:
    return caption.text, round(caption.log_probability, 4), round(caption.confidence, 4)


WRITERS: dict[str, Callable[[Iterable[Result], TextIO], None]] = {
    "text": write_text,
    "csv": write_csv,
    "jsonl": write_json_lines,
}


def sidecar(picture: Path) -> Path:
    """The text file beside a picture: ``photo.jpg`` -> ``photo.txt``."""
    return picture.with_suffix(".txt")


def write_sidecars(results: Iterable[Result], existing: str) -> None:
    """Write each picture's captions, a line each, beside it; ``append`` adds to what is there."""
    for result in results:
        if result.captions:
            text = "".join(f"{caption.text}\n" for caption in result.captions)
            mode = "a" if existing == "append" else "w"
            with sidecar(result.path).open(mode, encoding="utf-8") as file:
                file.write(text)


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Files as they are named, and the pictures of folders and their subfolders, sorted."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(
                p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()
            )
        else:
            found.append(path)
    return found
