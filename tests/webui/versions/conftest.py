"""The administrator with an archive to register, over the fake TorchServe."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.webui.administration import HASH, TOKEN, Admin
from tests.webui.fake_management import write_archive
from tests.webui.fake_torchserve import FakeTorchServe
from webui.versions import workers

CARD = '{"encoder": "drawn", "date": "2026-01-01", "scores": {"cider": 0.5}, "secret": 1}'


@pytest.fixture
def admin(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe, monkeypatch: pytest.MonkeyPatch
) -> Admin:
    """The administrator of captioner 1.0, with an archive of 2.0 in the model store."""
    monkeypatch.setattr(workers, "POLL_S", 0.01)
    write_archive(torchserve.models.store / "second.mar", model_card__json=CARD)
    return Admin(make_app(ADMIN_TOKEN=TOKEN, ADMIN_PASSWORD_HASH=HASH).test_client())


@pytest.fixture
def second(admin: Admin) -> Admin:
    """The administrator with version 2.0 registered and ready."""
    assert admin.job("POST", "/models", {"archive": "second.mar"})["state"] == "done"
    return admin
