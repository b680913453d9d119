"""What the tests of training share: a tiny encoder, and one taught captioner."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training import tiny
from tests.training.drawn import SHOWN
from tests.training.taught import taught
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
def drawn_data() -> Path:
    """Drawn pictures in Kaggle's layout with lists for train, dev and test."""
    return taught() / "data"


@pytest.fixture(scope="session")
def run() -> Path:
    """The folder of a run of the real command, with a real encoder, through all phases."""
    return taught() / "run"


@pytest.fixture(scope="session")
def calibrated() -> Path:
    """The run's checkpoint once its confidence is fitted, in a folder of its own."""
    return taught() / "exported" / "best.pt"


@pytest.fixture(scope="session")
def exported() -> Path:
    """The calibrated run's exported module, its vocabulary beside it."""
    return taught() / "exported" / "captioner.pt"


@pytest.fixture(scope="session")
def scores() -> Path:
    """The scores of the run's exported module on the dev split."""
    return taught() / "exported" / "scores.json"


@pytest.fixture(scope="session")
def mar() -> Path:
    """The run's archive."""
    return taught() / "drawings.mar"


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Drawings that the model was not trained on."""
    return [drawing.save(tmp_path / "pictures") for drawing in SHOWN]
