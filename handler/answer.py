"""The JSON of one picture's captions."""

import math
from typing import Any

from handler.captioner import Captioner
from handler.engines import Beams
from handler.request import Job
from handler.text import EOS, PAD, detokenise

_DIGITS = 6  # enough for every reader, and a third of the bytes


def build_answer(
    job: Job, beams: Beams, index: int, captioner: Captioner, model: dict[str, str]
) -> dict[str, Any]:
    """Build the answer to one job out of row `index` of its group's beams.

    A captioner of very few words may have fewer sentences than beams: the places left over have a
    log-probability of minus infinity, and are no captions.
    """
    captions = [
        _caption(
            beams.tokens[index, rank].tolist(),
            beams.log_probs[index, rank].tolist(),
            beams.attention[index, rank].tolist(),
            float(beams.confidence[index, rank]),
            captioner,
        )
        for rank in range(job.options.num_captions)
        if not beams.log_probs[index, rank].isneginf().any()
    ]
    picture = job.picture
    return {
        "caption": captions[0]["caption"],
        "captions": captions,
        "image": {"width": picture.width, "height": picture.height, "format": picture.format},
        "model": model,
    }


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
    return {
        "caption": detokenise([word["word"] for word in words]),
        "log_probability": round(math.fsum(log_probs[:length]), _DIGITS),
        "confidence": round(confidence, _DIGITS),
        "words": words,
    }


def _probability(log_probability: float) -> float:
    return round(min(math.exp(log_probability), 1.0), _DIGITS)


def _attention(attention: list[list[float]], step: int, captioner: Captioner) -> dict[str, Any]:
    """Return the grid that a word looked at, row by row; nothing where it was not asked for."""
    if not attention:
        return {}
    weights = [round(weight, _DIGITS) for weight in attention[step]]
    grid = {"rows": captioner.grid_rows, "columns": captioner.grid_columns, "weights": weights}
    return {"attention": grid}
