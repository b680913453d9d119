"""The inference answer: its shape and its check."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, NotRequired, TypedDict, get_args

Trust = Literal["right", "check", "unknown"]


class Attention(TypedDict):
    """Where a word looked: weights row by row, summing to 1, over the picture as a square."""

    rows: int
    columns: int
    weights: list[float]


class Word(TypedDict):
    """One word and its probability, 0..1; with its attention in an explanation."""

    word: str
    probability: float
    attention: NotRequired[Attention]


class Tag(TypedDict):
    """A thing that the picture shows, and its probability, 0..1."""

    word: str
    probability: float


class Caption(TypedDict):
    """One caption; `log_probability` is the sum of its words', natural logarithm.

    Older models, and those whose confidence was never fitted, do not say how far to trust it.
    """

    caption: str
    log_probability: float
    confidence: float
    trust: NotRequired[Trust]
    words: list[Word]


class Answer(TypedDict):
    """What /predictions answers; there may be other members."""

    caption: str
    captions: list[Caption]
    image: dict[str, Any]
    tags: NotRequired[list[Tag]]
    calibrated: NotRequired[bool]  # false: the confidence was never fitted
    model: dict[str, Any]


@dataclass(frozen=True)
class Inference:
    """A checked answer: the bytes that TorchServe sent, and what they say."""

    body: bytes
    answer: Answer


def parse(body: bytes, *, explained: bool = False) -> Answer:
    """Read TorchServe's 200 answer; when `explained`, every word must have its attention.

    Raises ValueError, KeyError or TypeError when it is none.
    """
    answer = json.loads(body, parse_constant=_no_constant)
    if not isinstance(answer["caption"], str) or not answer["captions"]:
        raise ValueError("no caption")
    for member in ("width", "height"):
        int(answer["image"][member])
    str(answer["image"]["format"]), str(answer["model"]["name"]), str(answer["model"]["version"])
    _check_words(answer.get("tags", []))
    for caption in answer["captions"]:
        _check_caption(caption)
        if explained:
            for word in caption["words"]:
                _check_attention(word["attention"])
    return answer  # type: ignore[no-any-return]


def _check_caption(caption: Any) -> None:
    if not isinstance(caption["caption"], str):
        raise TypeError("a caption that is not text")
    float(caption["confidence"])
    float(caption["log_probability"])
    if caption.get("trust", "right") not in get_args(Trust):
        raise ValueError("a trust that is none of the three")
    _check_words(caption["words"])


def _check_words(words: Any) -> None:
    for word in words:
        if not isinstance(word["word"], str):
            raise TypeError("a word that is not text")
        float(word["probability"])


def _check_attention(attention: Any) -> None:
    weights = [float(weight) for weight in attention["weights"]]
    if not weights or len(weights) != attention["rows"] * attention["columns"]:
        raise ValueError("an attention that is no grid")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
