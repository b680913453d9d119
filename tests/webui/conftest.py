"""The application over a server that behaves as TorchServe does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.administration import TOKEN
from tests.webui.fake_management import FakeModels
from tests.webui.fake_torchserve import FakeTorchServe
from webui import create_app


@pytest.fixture
def torchserve(tmp_path: Path) -> Iterator[FakeTorchServe]:
    """A fake TorchServe, stopped afterwards."""
    fake = FakeTorchServe(tmp_path / "key_file.json", models=FakeModels(tmp_path / "store"))
    yield fake
    fake.stop()


@pytest.fixture
def make_app(torchserve: FakeTorchServe) -> Callable[..., Flask]:
    """A function that makes the application over the fake, with settings of the test's own."""

    def make(**config: object) -> Flask:
        defaults = {
            "INFERENCE_URL": torchserve.url,
            "MANAGEMENT_URL": torchserve.url,
            "KEY_FILE": torchserve.key_file,
            "TIMEOUT_S": 5,
            "MAX_UPLOAD_MB": 2,
            "MODEL_STORE": torchserve.models.store,
        }
        return create_app({**defaults, **config})

    return make


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    """A client of the application with plain settings."""
    return make_app().test_client()


@pytest.fixture
def administrator(make_app: Callable[..., Flask]) -> FlaskClient:
    """A client whose every request bears the administrator's token."""
    client = make_app(ADMIN_TOKEN=TOKEN).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {TOKEN}"
    return client
