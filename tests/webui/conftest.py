"""The application over a server that behaves as TorchServe does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.fake_torchserve import FakeTorchServe
from webui import create_app


@pytest.fixture
def torchserve(tmp_path: Path) -> Iterator[FakeTorchServe]:
    """A fake TorchServe, stopped afterwards."""
    fake = FakeTorchServe(tmp_path / "key_file.json")
    yield fake
    fake.stop()


@pytest.fixture
def make_app(torchserve: FakeTorchServe) -> Callable[..., Flask]:
    """A function that makes the application over the fake, with settings of the test's own."""

    def make(**config: object) -> Flask:
        defaults = {
            "INFERENCE_URL": torchserve.url,
            "MANAGEMENT_URL": torchserve.url,
            "METRICS_URL": torchserve.url,
            "KEY_FILE": torchserve.key_file,
            "TIMEOUT_S": 5,
            "MAX_UPLOAD_MB": 2,
        }
        return create_app({**defaults, **config})

    return make


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    """A client of the application with plain settings."""
    return make_app().test_client()
