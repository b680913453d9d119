"""The JSON of one picture's captions."""

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any

from handler.captioner import Captioner
from handler.engines import Beams
from handler.request import Job
from handler.text import EOS, PAD, detokenise

_DIGITS = 6  # enough for any use, in a third of the bytes
MIN_TAG_PROBABILITY = 0.1  # things that are less probable are left out


def build_answers(
    jobs: Sequence[Job], beams: Beams, captioner: Captioner, model: dict[str, str]
) -> list[dict[str, Any]]:
    """Build the answer to each job of a group from the group's beams, row by row."""
    # Tensors become Python lists once for the whole group: the conversion costs more than the rest.
    rows = zip(*(tensor.tolist() for tensor in beams), strict=True)
    return [_answer(job, row, captioner, model) for job, row in zip(jobs, rows, strict=True)]


def _answer(
    job: Job, row: tuple[list[Any], ...], captioner: Captioner, model: dict[str, str]
) -> dict[str, Any]:
    """Build the answer to one job from its row of every tensor of `Beams`.

    A captioner that knows very few words may have fewer sentences than beams: the places left over
    have a log-probability of minus infinity, and are not captions.
    """
    *sentences, tags, probabilities = row
    captions = [
        _caption(tokens, log_probs, attention, confidence, captioner)
        for tokens, log_probs, attention, confidence in islice(
            zip(*sentences, strict=True), job.options.num_captions
        )
        if -math.inf not in log_probs
    ]
    picture = job.picture
    return {
        "caption": captions[0]["caption"],
        "captions": captions,
        "image": {"width": picture.width, "height": picture.height, "format": picture.format},
        "tags": name_tags(tags, probabilities, captioner.vocabulary),
        **({} if captioner.calibrated else {"calibrated": False}),
        "model": model,
    }


def name_tags(
    tokens: list[int], probabilities: list[float], vocabulary: Sequence[str]
) -> list[dict[str, Any]]:
    """Name what a picture shows, from its row of `Beams.tags` and of their probabilities."""
    return [
        {"word": vocabulary[token], "probability": round(probability, _DIGITS)}
        for token, probability in zip(tokens, probabilities, strict=True)
        if token != PAD and probability >= MIN_TAG_PROBABILITY
    ]


def _caption(
    tokens: list[int],
    log_probs: list[float],
    attention: list[list[float]],
    confidence: float,
    captioner: Captioner,
) -> dict[str, Any]:
    """Describe one hypothesis: T tokens, their log-probabilities and, if any, their attention."""
    length = sum(token != PAD for token in tokens)
    words = [
        {
            "word": captioner.vocabulary[token],
            "probability": _probability(log_probs[step]),
            **_attention(attention, step, captioner),
        }
        for step, token in enumerate(tokens[:length])
        if token != EOS
    ]
    shown = round(confidence, _DIGITS)
    return {
        "caption": detokenise([word["word"] for word in words]),
        "log_probability": round(math.fsum(log_probs[:length]), _DIGITS),
        "confidence": shown,
        **({"trust": captioner.trust.level(shown)} if captioner.trust else {}),
        "words": words,
    }


def _probability(log_probability: float) -> float:
    return round(min(math.exp(log_probability), 1.0), _DIGITS)


def _attention(attention: list[list[float]], step: int, captioner: Captioner) -> dict[str, Any]:
    """Return a word's attention over the grid, row by row; empty if it was not requested."""
    if not attention:
        return {}
    weights = [round(weight, _DIGITS) for weight in attention[step]]
    grid = {"rows": captioner.grid_rows, "columns": captioner.grid_columns, "weights": weights}
    return {"attention": grid}
