"""What the tests of training share: a tiny encoder, drawn data and one trained run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training import tiny
from tests.training.drawn import DEV, LEARNING, SHOWN, TAUGHT, TEST, write_kaggle
from training import archive, calibrate, evaluate, export, train
from training.model import encoders


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """One thread, so that sums are added up in one order and small products are not slowed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _tiny_encoder() -> Iterator[None]:
    """The registry knows an encoder ``tiny``."""
    encoders.ENCODERS["tiny"] = tiny.SPEC
    yield
    del encoders.ENCODERS["tiny"]


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    """Messages for people are seen by every test that looks for them."""
    caplog.set_level(logging.INFO)


@pytest.fixture(scope="session")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures in Kaggle's layout with lists for train, dev and test."""
    folder = tmp_path_factory.mktemp("drawn")
    return write_kaggle(folder, train=TAUGHT, dev=DEV, test=TEST)


@pytest.fixture(scope="session")
def run(drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the real command, with a real encoder, through all phases."""
    folder = tmp_path_factory.mktemp("run")
    places = ["--data", drawn_data, "--output", folder / "a", "--cache", folder / "cache"]
    assert train.main([*map(str, places), *LEARNING]) == 0
    return folder / "a"


@pytest.fixture(scope="session")
def calibrated(run: Path, drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's checkpoint once its confidence is fitted, in a folder of its own."""
    path = tmp_path_factory.mktemp("calibrated") / "best.pt"
    path.write_bytes((run / "best.pt").read_bytes())
    assert calibrate.main(["--data", str(drawn_data), "--checkpoint", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def exported(calibrated: Path) -> Path:
    """The calibrated run's exported module, its vocabulary beside it."""
    assert export.main(["--checkpoint", str(calibrated)]) == 0
    return calibrated.with_name("captioner.pt")


@pytest.fixture(scope="session")
def scores(exported: Path, drawn_data: Path) -> Path:
    """The scores of the run's exported module on the dev split."""
    path = exported.with_name("scores.json")
    words = ["--data", drawn_data, "--model", exported, "--output", path, "--max-length", 8]
    assert evaluate.main(list(map(str, words))) == 0
    return path


@pytest.fixture(scope="session")
def mar(scores: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's archive."""
    path = tmp_path_factory.mktemp("store") / "drawings.mar"
    words = [
        "--run",
        scores.parent,
        "--output",
        path,
        "--version",
        "2.5",
        "--data-name",
        "drawings",
    ]
    assert archive.main(list(map(str, words))) == 0
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Drawings that the model was not trained on."""
    return [drawing.save(tmp_path / "pictures") for drawing in SHOWN]
