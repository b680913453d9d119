"""Scoring a model on a split.

BLEU-1 to 4, METEOR, ROUGE-L and CIDEr by pycocoevalcap and its Penn Treebank tokeniser, with all
reference captions of every picture; the share of content words that people confirm, how far the
confidence is from it, and what the captions are like.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handler.engines import Search
from training.common.progress import progress
from training.data.splits import DataError, Example, Problems
from training.data.vocabulary import tokenise
from training.metrics.agreement import (
    calibration_error,
    confirmed_share,
    confirmed_words,
    made_up,
)
from training.metrics.coco import CocoScorer
from training.metrics.faults import count_faults
from training.metrics.naming import naming_report
from training.packaging.inference import Model, caption_pictures
from training.pictures.results import Caption
from training.trainer.config import TrainConfig


def evaluate(
    model: Model,
    examples: Sequence[Example],
    *,
    beam_size: int = TrainConfig.beam_size,
    max_length: int = TrainConfig.max_length,
    strict: bool = False,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Caption pictures as they would be served, and score the captions.

    Returns:
        the report: what was evaluated, and the scores by name (fractions, and counts of captions);
        the captions by picture name.

    Raises:
        DataError: no picture can be read, or, under ``strict``, any cannot.
    """
    named = {example.path: example.name for example in examples}
    found = _caption(model, named, Search(beam_size, max_length, num_captions=1), strict)
    scored = [example for example in examples if example.path in found]
    captions = {example.name: found[example.path].text for example in scored}
    scorer = CocoScorer({example.name: example.captions for example in scored})
    shares = [confirmed_share(captions[example.name], example.captions) for example in scored]
    error = calibration_error([found[example.path].confidence for example in scored], shares)
    scores = {
        **scorer(captions),
        "words_confirmed": sum(shares) / len(shares),
        "made_up": sum(made_up(captions[e.name], e.captions) for e in scored) / len(scored),
        "calibration_error": error,
    }
    return {
        "pictures": len(captions),
        "beam_size": beam_size,
        **{name: round(value, 4) for name, value in scores.items()},
        "faults": count_faults(captions.values(), max_length),
        "distinct_captions": len(set(captions.values())),
        "words_confirmed_distinct": len(
            set().union(*(confirmed_words(captions[e.name], e.captions) for e in scored))
        ),
        "words_used": len({word for text in captions.values() for word in tokenise(text)}),
    }, captions


def evaluate_objects(
    model: Model,
    objects: Mapping[Path, Sequence[str]],
    right: float | None,
    *,
    beam_size: int = TrainConfig.beam_size,
    max_length: int = TrainConfig.max_length,
    strict: bool = False,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Caption pictures of things, and see which captions name them; see ``naming_report``.

    Returns:
        the report; the captions by picture name.

    Raises:
        DataError: no picture can be read, or, under ``strict``, any cannot.
    """
    named = {path: path.name for path in objects}
    found = _caption(model, named, Search(beam_size, max_length, num_captions=1), strict)
    captions = {path: caption.text for path, caption in found.items()}
    confidences = {path: caption.confidence for path, caption in found.items()}
    report = {"pictures": len(found), **naming_report(captions, confidences, objects, right)}
    faults = count_faults(captions.values(), max_length)
    return {**report, "faults": faults}, {path.name: text for path, text in captions.items()}


def _caption(
    model: Model, pictures: Mapping[Path, str], search: Search, strict: bool
) -> dict[Path, Caption]:
    """The first caption of each picture that can be read, given with its name for messages."""
    results = caption_pictures(list(pictures), model, search)
    found, problems = {}, Problems(strict)
    for result in progress(results, "caption", len(pictures)):
        if result.error:
            problems.add(f"unreadable picture {pictures[result.path]!r} ({result.error})")
        else:
            found[result.path] = result.captions[0]
    problems.report("pictures")
    if not found:
        raise DataError("There is no readable picture, so nothing can be scored.")
    return found


def write_json(content: Any, path: Path) -> None:
    """Write scores or captions as a JSON file."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
