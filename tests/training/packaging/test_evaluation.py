"""Scores of a split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.drawn import DEV, TEST, drawings, write_captions, write_kaggle
from training import evaluate
from training.metrics import coco
from training.packaging import evaluation
from training.pictures.results import Caption, Result


def test_scores_of_the_dev_split(scores: Path) -> None:
    report = json.loads(scores.read_text())
    assert (report["split"], report["pictures"], report["beam_size"]) == ("dev", 24, 3)
    for name in ("bleu_1", "bleu_4", "meteor", "rouge_l"):
        assert 0.9 < report[name] <= 1
    assert report["cider"] > 9
    assert report["words_confirmed"] > 0.9
    assert 0 <= report["calibration_error"] < 0.2
    assert not any(report["faults"].values())
    assert report["words_confirmed_distinct"] == 8  # colours, shapes and white
    assert report["distinct_captions"] == 12
    assert report["words_used"] == len({word for d in DEV for word in d.caption.split()})


def test_evaluation_of_every_kind_prints_json_alone(
    mar: Path,
    drawn_data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(coco.CocoScorer.__call__, "__defaults__", (("bleu",),))
    others, things = drawings([3])[:5], drawings([-3])[:4]
    also = write_kaggle(tmp_path / "others", train=others[:3], dev=others[3:])
    for drawing in things:
        drawing.save(tmp_path / "things" / "Images")
    nouns = {drawing.name: [drawing.shape] for drawing in things[:3]}
    nouns |= {things[3].name: ["dog"], "lost.png": ["cat"]}
    (tmp_path / "things" / "nouns.json").write_text(json.dumps(nouns))
    captions = tmp_path / "captions.json"
    words = ["--data", drawn_data, "--model", mar, "--split", "test", "--captions", captions]
    words += ["--beam-size", 2, "--also", also, "--objects", tmp_path / "things"]
    assert evaluate.main(list(map(str, words))) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["split"], report["pictures"], report["beam_size"]) == ("test", 12, 2)
    assert report["bleu_4"] > 0.9
    assert (report["others"]["pictures"], report["others"]["distinct_captions"]) == (5, 5)
    assert report["others"].keys() == report.keys() - {"split", "others", "objects"}
    assert "unreadable picture 'lost.png'" in caplog.text
    objects = report["objects"]
    assert objects["pictures"] == 4
    assert (objects["naming_rate"], objects["naming_rate_without_dogs"]) == (0.75, 1)
    assert 0 <= objects["auroc"] <= 1
    assert {"flagged_named", "flagged_unnamed", "faults"} <= objects.keys()
    said = json.loads(captions.read_text())
    assert set(said) == {drawing.name for drawing in (*TEST, *others, *things)}
    assert report["distinct_captions"] == len({said[drawing.name] for drawing in TEST})


def test_two_sets_of_one_name_are_refused(
    drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    also = write_kaggle(tmp_path / "data", dev=DEV[:1])
    words = ["--data", drawn_data, "--also", drawn_data, "--also", also]
    with pytest.raises(SystemExit):
        evaluate.main(list(map(str, words)))
    assert "--also must name folders or files whose own names differ" in capsys.readouterr().err


def test_evaluation_counts_what_is_wrong(
    exported: Path,
    drawn_data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coco.CocoScorer.__call__, "__defaults__", (("bleu",),))
    answers = iter(["a red dog", "a a cross", "a circle of"] * 4)
    monkeypatch.setattr(
        evaluation,
        "caption_pictures",
        lambda paths, *_: (
            Result(path, [Caption(next(answers), -1.0, confidence=0.9)]) for path in paths
        ),
    )
    words = ["--data", drawn_data, "--model", exported, "--split", "test", "--max-length", 3]
    assert evaluate.main(list(map(str, words))) == 0
    report = json.loads(capfd.readouterr().out)
    faults = {"unknown": 0, "dangling": 4, "repeated": 4, "said_twice": 0, "cut": 12}
    assert report["faults"] == faults
    assert report["made_up"] == pytest.approx(4 / 12, abs=1e-4)  # the dogs
    assert report["words_confirmed_distinct"] == 1  # red
    assert (report["distinct_captions"], report["words_used"]) == (3, 6)
    assert report["calibration_error"] == pytest.approx(abs(0.9 - report["words_confirmed"]))
    # Of the twelve drawings three are red, four are crosses and four are circles.
    shares = []
    for number, drawing in enumerate(TEST):
        said = {drawing.colour, drawing.shape}
        shares.append([len(said & {"red"}) / 2, "cross" in said, "circle" in said][number % 3])
    assert report["words_confirmed"] == pytest.approx(sum(shares) / 12, abs=1e-4)


def test_evaluation_leaves_out_what_cannot_be_read(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    data = write_captions(tmp_path / "own.csv", [("bad.png", "a dog")])
    (tmp_path / "Flickr_8k.devImages.txt").write_text("bad.png")
    assert evaluate.main(["--data", str(data), "--model", str(exported)]) == 1
    assert "unreadable picture 'bad.png'" in caplog.text
    assert "There is no readable picture, so" in caplog.messages[-1]
    assert evaluate.main(["--data", str(data), "--model", str(exported), "--strict"]) == 1
    assert "or run without --strict" in caplog.messages[-1]
