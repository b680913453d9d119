"""The tuner: what it chooses, and the archive that it writes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import yaml

from benchmarks import tune
from benchmarks.tune import Outcome, Setting


@pytest.mark.parametrize(
    ("outcomes", "best"),
    [
        ([(50.0, 30.0), (60.0, 33.0), (55.0, 30.0)], 1),  # more captions, about the same wait
        ([(50.0, 30.0), (90.0, 60.0)], 0),  # twice the wait is not worth it
        ([(90.0, 60.0), (50.0, 30.0)], 1),  # whichever came first
        ([(50.0, 30.0), (51.0, 30.0)], 0),  # nothing changes for chance
    ],
)
def test_the_best_is_fast_and_lets_nobody_wait(
    outcomes: list[tuple[float, float]], best: int
) -> None:
    settings = [Setting(batchSize=2**number) for number in range(len(outcomes))]
    tried = [(s, Outcome(*numbers)) for s, numbers in zip(settings, outcomes, strict=True)]
    assert tune.choose(tried, patience=1.2) == settings[best]


def test_what_is_tried_fits_the_machine() -> None:
    assert all(len(names) >= 1 for group in tune.candidates(2, False) for names in group)
    assert {"workers": 2, "threads": 1} in tune.candidates(2, False)[0]
    assert tune.candidates(1, False)[0] == []
    assert {"batchSize": 64} in tune.candidates(16, True)[1]


def test_an_archive_with_other_settings(tmp_path: Path) -> None:
    made = tmp_path / "tuned.mar"
    tune.with_settings(tune.ARCHIVE, made, Setting(batchSize=4, threads=3).in_file())
    with zipfile.ZipFile(tune.ARCHIVE) as before, zipfile.ZipFile(made) as after:
        assert after.namelist() == before.namelist()
        old, new = (yaml.safe_load(file.read("model-config.yaml")) for file in (before, after))
        assert after.read("captioner.pt") == before.read("captioner.pt")
    assert (new["batchSize"], new["captioner"]["threads"]) == (4, 3)
    assert new["captioner"]["max_pixels"] == old["captioner"]["max_pixels"]
    assert set(new) == set(old)


def test_the_report_says_what_to_write(tmp_path: Path) -> None:
    best = Setting(workers=2, batchSize=16)
    text = tune.report(best, [(best, Outcome(50.0, 30.0))])
    assert "batchSize: 16" in text
    assert "CAPTIONIZE_WORKERS=2" in text
