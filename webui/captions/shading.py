"""How a page shows an answer: its words shaded by their probability, its picture."""

from __future__ import annotations

import base64
import math
from typing import NamedTuple

from webui.torchserve.answer import Answer, Caption

SHOWN_BACK_BYTES = 8 * 1024 * 1024  # larger pictures are not sent back inside the page
VIEWABLE = {  # Pillow's names of the formats that every browser shows
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
}
LEVELS = (0.8, 0.6, 0.4, 0.2)  # below each of these a word is one level less sure
# Marks of a caption, by how far it can be trusted.
MARKS = {
    "right": "",
    "check": "Not sure: may well be wrong",
    "unknown": "This does not look like a photo it knows.",
}
# For models that do not say so: below this a caption is to be checked. The confidence is the share
# of content words that one of five people would use as well: 0.56 on average over the photos that
# calibrated version 1.1. Under 0.4 most words can be expected not to fit. Of scikit-image's photos
# the two that are described rightly have 0.55 (camera) and 0.59 (motorcycle); the wrong ones have
# 0.38 (astronaut) and less.
UNSURE_BELOW = 0.4


class Piece(NamedTuple):
    """A stretch of a caption: a word with its probability, or what stands between two words."""

    text: str
    probability: float | None


def pieces(caption: Caption) -> list[Piece]:
    """Cut the caption's text at its words, so that each can be shaded where it stands.

    The text has spacing that the words alone do not have ("dog" + "'s" is "dog's"). When the
    words do not occur in the text in their order, the whole text is one piece.
    """
    text, cut, end = caption["caption"], [], 0
    for word in caption["words"]:
        start = text.find(word["word"], end)
        if start < 0 or not word["word"]:
            return [Piece(text, None)]
        if start > end:
            cut.append(Piece(text[end:start], None))
        end = start + len(word["word"])
        cut.append(Piece(word["word"], word["probability"]))
    if end < len(text):
        cut.append(Piece(text[end:], None))
    return cut


def doubt(probability: float) -> int:
    """How unsure a word is, 0 (sure) to 4, for its shading."""
    return sum(probability < level for level in LEVELS)


def mark(caption: Caption) -> str:
    """What a caption is marked with, "" for nothing."""
    guess = "check" if caption["confidence"] < UNSURE_BELOW else "right"
    return MARKS[caption.get("trust", guess)]


def percent(share: float) -> str:
    """0.974 as "97%"; never "0%" for what is only small."""
    # Rounded as JavaScript rounds: halves up.
    return "<1%" if share < 0.01 else f"{math.floor(share * 100 + 0.5)}%"


def data_url(picture: bytes, answer: Answer) -> str | None:
    """The picture as an address for <img>, or None where a browser could not show it."""
    mimetype = VIEWABLE.get(str(answer["image"]["format"]))
    if mimetype is None or len(picture) > SHOWN_BACK_BYTES:
        return None
    return f"data:{mimetype};base64,{base64.b64encode(picture).decode('ascii')}"
