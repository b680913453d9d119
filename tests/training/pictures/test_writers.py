"""Tags and trust in what is written of captions."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from training.pictures import writers
from training.pictures.results import Caption, Result

CAPTIONS = [Caption("a cat", -1.0, 0.7, "right"), Caption("a dog", -2.0, 0.3, "check")]
TAGS = [{"word": "cat", "probability": 0.83}, {"word": "laptop", "probability": 0.2}]
RESULTS = [
    Result(Path("new.jpg"), CAPTIONS, tags=TAGS),
    Result(Path("old.jpg"), [Caption("a hat", -3.0, 0.5)]),  # by a model without either
]


def test_csv() -> None:
    out = io.StringIO()
    writers.write_csv(RESULTS, out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [(row["trust"], row["tags"]) for row in rows] == [
        ("right", "cat; laptop"),
        ("check", "cat; laptop"),
        ("", ""),
    ]


def test_json_lines() -> None:
    out = io.StringIO()
    writers.write_json_lines(RESULTS, out)
    new, old = map(json.loads, out.getvalue().splitlines())
    assert [caption["trust"] for caption in new["captions"]] == ["right", "check"]
    assert new["tags"] == TAGS
    assert set(old["captions"][0]) == {"caption", "log_probability", "confidence"}
    assert old["tags"] == []
