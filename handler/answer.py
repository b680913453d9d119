"""The JSON of one picture's captions."""

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any

from handler.captioner import Captioner
from handler.decode import Picture
from handler.engines import Beams
from handler.options import Options
from handler.request import Job
from handler.text import PAD, Word, Words, different, say_neutrally

_DIGITS = 6  # enough for any use, in a third of the bytes
_MOST_AROUND = 8.0  # times what a captioner sees: the map of a longer strip is not to scale
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
    found = [
        hypothesis
        for hypothesis in islice(zip(*sentences, strict=True), job.options.wanted)
        if -math.inf not in hypothesis[1]
    ]
    neutrally, picture = job.options.people == "neutral", job.picture
    places = choose([one[0] for one in found], job.options, captioner.words, captioner.content)
    captions = [
        _caption(tokens, log_probs, attention, confidence, captioner, picture, neutrally)
        for tokens, log_probs, attention, confidence in (found[place] for place in places)
    ]
    return {
        "caption": captions[0]["caption"],
        "captions": captions,
        "image": {"width": picture.width, "height": picture.height, "format": picture.format},
        "tags": name_tags(tags, probabilities, captioner.vocabulary, neutrally=neutrally),
        **({} if captioner.calibrated else {"calibrated": False}),
        "model": model,
    }


def choose(
    hypotheses: Sequence[Sequence[int]],
    options: Options,
    words: Words,
    content: Sequence[bool],
) -> Sequence[int]:
    """The places of those that are answered, of all that were found, the likeliest first.

    Args:
        hypotheses: tokens of each; words: what they mean.
        content: of each token, whether it is a content word; all words are where it is empty.
    """
    if options.likely:
        return range(min(options.num_captions, len(hypotheses)))
    contents = []
    for tokens in hypotheses:
        said = [
            word
            for word in words.read(tokens)[1]
            if not content or any(content[tokens[place]] for place in word.places)
        ]
        if options.people == "neutral":
            _, said = say_neutrally(said)
        contents.append(frozenset(word.text for word in said))
    return different(contents, options.num_captions)


def name_tags(
    tokens: list[int],
    probabilities: list[float],
    vocabulary: Sequence[str],
    *,
    neutrally: bool = False,
) -> list[dict[str, Any]]:
    """Name what a picture shows, from its row of `Beams.tags` and of their probabilities."""
    named: dict[str, float] = {}
    for token, probability in zip(tokens, probabilities, strict=True):
        if token != PAD and probability >= MIN_TAG_PROBABILITY:
            word = vocabulary[token]
            for said in say_neutrally([Word(word, [0])])[1] if neutrally else [Word(word, [0])]:
                named.setdefault(said.text, round(probability, _DIGITS))
    return [{"word": word, "probability": probability} for word, probability in named.items()]


def _caption(
    tokens: list[int],
    log_probs: list[float],
    attention: list[list[float]],
    confidence: float,
    captioner: Captioner,
    picture: Picture,
    neutrally: bool,
) -> dict[str, Any]:
    """Describe one hypothesis: T tokens, their log-probabilities and, if any, their attention.

    A word of several tokens is as probable as all of them together, and looked where they did on
    average.
    """
    text, words = captioner.words.read(tokens)
    if neutrally:
        text, words = say_neutrally(words)
    shown = round(confidence, _DIGITS)
    return {
        "caption": text,
        "log_probability": round(math.fsum(log_probs), _DIGITS),
        "confidence": shown,
        **({"trust": captioner.trust.level(shown)} if captioner.trust else {}),
        "words": [
            {
                "word": word.text,
                "probability": _probability(math.fsum(log_probs[place] for place in word.places)),
                **_attention(
                    [attention[place] for place in word.places if attention], captioner, picture
                ),
            }
            for word in words
        ],
    }


def _probability(log_probability: float) -> float:
    return round(min(math.exp(log_probability), 1.0), _DIGITS)


def _attention(looks: list[list[float]], captioner: Captioner, picture: Picture) -> dict[str, Any]:
    """Return a word's attention over the picture, row by row; empty if it was not requested.

    What a captioner cuts off a picture before it looks gets cells too, in which it saw nothing.
    """
    if not looks:
        return {}
    rows, columns = captioner.grid_rows, captioner.grid_columns
    weights = [math.fsum(cell) / len(looks) for cell in zip(*looks, strict=True)]
    above, beside = _unseen(captioner, picture)
    if above or beside:
        wide = columns + 2 * beside
        grid = [[0.0] * wide for _ in range(rows + 2 * above)]
        for row in range(rows):
            grid[above + row][beside : beside + columns] = weights[row * columns :][:columns]
        weights, rows, columns = [cell for row in grid for cell in row], len(grid), wide
    weights = [round(weight, _DIGITS) for weight in weights]
    return {"attention": {"rows": rows, "columns": columns, "weights": weights}}


def _unseen(captioner: Captioner, picture: Picture) -> tuple[int, int]:
    """How many rows of cells are cut off above and below, and how many columns on either side."""
    fit = captioner.fit
    if not fit.scale:
        return 0, 0
    around = fit.scale / captioner.image_size
    short = min(picture.width, picture.height) if fit.keeps_ratio else 0
    tall, wide = (
        min(around * (side / short if short else 1), _MOST_AROUND)
        for side in (picture.height, picture.width)
    )
    return (
        round(captioner.grid_rows * (tall - 1) / 2),
        round(captioner.grid_columns * (wide - 1) / 2),
    )
