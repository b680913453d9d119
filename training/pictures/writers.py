"""Captions of files as text, CSV or JSON Lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from typing import TextIO

from training.pictures.results import Caption, Result

ONE_LINE = {ord(sign): ascii(sign)[1:-1] for sign in "\t\n\r"}  # for names in a line


def write_text(results: Iterable[Result], out: TextIO) -> None:
    """A line a caption: the file, a tab, the sentence."""
    for result in results:
        for caption in result.captions:
            name = str(result.path).translate(ONE_LINE)
            print(name, caption.text, sep="\t", file=out, flush=True)


def write_csv(results: Iterable[Result], out: TextIO) -> None:
    """Columns image, caption, rank, log_probability, confidence, trust, tags."""
    rows = csv.writer(out)
    rows.writerow(["image", "caption", "rank", "log_probability", "confidence", "trust", "tags"])
    for result in results:
        tags = "; ".join(tag["word"] for tag in result.tags)
        for rank, caption in enumerate(result.captions, start=1):
            text, *scores = _rounded(caption)
            rows.writerow([result.path, text, rank, *scores, caption.trust, tags])
        out.flush()


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
