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
from training.data.splits import DataError, Example, Problems, Split
from training.data.vocabulary import tokenise
from training.metrics.agreement import calibration_error, confirmed_share
from training.metrics.coco import CocoScorer
from training.metrics.faults import count_faults
from training.packaging.inference import Caption, Model, caption_pictures
from training.trainer.config import TrainConfig


def evaluate(
    model: Model,
    splits: Mapping[Split, Sequence[Example]],
    split: Split = "dev",
    *,
    beam_size: int = TrainConfig.beam_size,
    max_length: int = TrainConfig.max_length,
    strict: bool = False,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Caption the pictures of a split as they would be served, and score the captions.

    Returns:
        the report: what was evaluated, and the scores by name (fractions, and counts of captions);
        the captions by picture name.

    Raises:
        DataError: no picture can be read, or, under ``strict``, any cannot.
    """
    examples = splits[split]
    search = Search(beam_size, max_length, num_captions=1)
    results = caption_pictures([example.path for example in examples], model, search)
    found: dict[str, Caption] = {}
    problems = Problems(strict)
    shown = progress(results, "caption", len(examples))
    for example, result in zip(examples, shown, strict=True):
        if result.error:
            problems.add(f"unreadable picture {example.name!r} ({result.error})")
        else:
            found[example.name] = result.captions[0]
    problems.report("pictures")
    scored = [example for example in examples if example.name in found]
    if not scored:
        raise DataError("There is no readable picture in this split, so nothing can be scored.")
    captions = {name: caption.text for name, caption in found.items()}
    scorer = CocoScorer({example.name: example.captions for example in scored})
    shares = [confirmed_share(captions[example.name], example.captions) for example in scored]
    error = calibration_error([found[example.name].confidence for example in scored], shares)
    scores = {
        **scorer(captions),
        "words_confirmed": sum(shares) / len(shares),
        "calibration_error": error,
    }
    return {
        "split": split,
        "pictures": len(captions),
        "beam_size": beam_size,
        **{name: round(value, 4) for name, value in scores.items()},
        "faults": count_faults(captions.values(), max_length),
        "distinct_captions": len(set(captions.values())),
        "words_used": len({word for text in captions.values() for word in tokenise(text)}),
    }, captions


def write_json(content: Any, path: Path) -> None:
    """Write scores or captions as a JSON file."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
