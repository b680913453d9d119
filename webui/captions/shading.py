"""How a page shows an answer: how far it can be trusted, its words, its picture."""

from __future__ import annotations

import base64
import math
from typing import NamedTuple

from webui.torchserve.answer import Answer, Caption, Trust, Word

SHOWN_BACK_BYTES = 8 * 1024 * 1024  # larger pictures are not sent back inside the page
VIEWABLE = {  # Pillow's names of the formats that every browser shows
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
}
# What a caption is marked with, by how far it can be trusted, and what that means.
MARKS = {
    "right": "Looks right",
    "check": "Check",
    "unknown": "Can't tell",
}
MEANING = {
    "right": "",
    "check": "Not sure: may well be wrong.",
    "unknown": "This does not look like a photo it knows.",
}
# For models that do not say so: below this a caption is to be checked. The confidence is the share
# of content words that one of five people would use as well: 0.56 on average over the photos that
# calibrated version 1.1. Under 0.4 most words can be expected not to fit. Of scikit-image's photos
# the two that are described rightly have 0.55 (camera) and 0.59 (motorcycle); the wrong ones have
# 0.38 (astronaut) and less.
CHECK_BELOW = 0.4
SMALLEST = 16  # pixels; whatever is said of a smaller picture is a guess
# A word that names something is in doubt below this, unless a tag that is sure says the same. Of
# the content words of the example pictures' captions, those with less are mostly wrong ("barbell"
# for an astronaut: 0.05).
DOUBTFUL_BELOW = 0.2
SURE_TAG = 0.5


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTION_WORDS = _words(
    "a an the 's his her its their he him she it they them who which that this these those there "
    "is are was were be been being has have had and or but while as of in on at to from with by "
    "for into near next over under up down through around behind beside between out off front top"
)


class Piece(NamedTuple):
    """A stretch of a caption: a word as the model has it, or what stands between two words."""

    text: str
    word: Word | None


def sentence(text: str) -> str:
    """The text as a sentence: its first letter is a capital one."""
    return text[:1].upper() + text[1:]


def pieces(caption: Caption) -> list[Piece]:
    """Cut the caption's text, as a sentence, at its words, so that each can be marked.

    The text has spacing that the words alone do not have ("dog" + "'s" is "dog's"). When the
    words do not occur in the text in their order, the whole text is one piece.
    """
    text, whole, cut, end = caption["caption"], sentence(caption["caption"]), [], 0
    for word in caption["words"]:
        start = text.find(word["word"], end)
        if start < 0 or not word["word"]:
            return [Piece(whole, None)]
        if start > end:
            cut.append(Piece(whole[end:start], None))
        end = start + len(word["word"])
        cut.append(Piece(whole[start:end], word))
    if end < len(text):
        cut.append(Piece(whole[end:], None))
    return cut


def doubtful(word: Word, answer: Answer) -> bool:
    """Whether a word that names something is in doubt."""
    return (
        word["probability"] < DOUBTFUL_BELOW
        and word["word"] not in FUNCTION_WORDS
        and not any(
            tag["word"] == word["word"] and tag["probability"] >= SURE_TAG
            for tag in answer.get("tags", [])
        )
    )


def trust(answer: Answer) -> Trust | None:
    """How far the first caption can be trusted; None where its model's confidence means nothing."""
    caption, image = answer["captions"][0], answer["image"]
    if min(int(image["width"]), int(image["height"])) < SMALLEST:
        return "unknown"
    if "trust" in caption or answer.get("calibrated") is False:
        return caption.get("trust")
    return "check" if caption["confidence"] < CHECK_BELOW else "right"


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
