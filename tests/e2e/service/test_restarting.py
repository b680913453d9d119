"""Every part is stopped and started again under clients, and none loses an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Service, wait_for
from tests.torture.clients import Clients
from tests.torture.restarts import lost, restart
from tests.torture.rounds import change
from tests.torture.stage import SECOND, SECOND_VERSION, OwnStage
from tests.torture.torture import Torture


@pytest.mark.slow
@pytest.mark.parametrize("part", ["page", "TorchServe", "worker"])
def test_a_restart_loses_nothing(tmp_path: Path, part: str) -> None:
    environ = {"CAPTIONIZE_RATE_LIMIT": "100000 per minute"}
    own = Service(tmp_path / "run", environ).start()
    try:
        with Clients(own.page_url, 8) as clients:
            wait_for(lambda: clients.answers["200"] >= 16, 60)
            restart(part, own.page_url, own.run_dir)
            after = clients.answers["200"] + 16
            wait_for(lambda: clients.answers["200"] >= after, 60)
        assert lost(clients) == {}
    finally:
        own.stop()


@pytest.mark.slow
def test_a_version_that_goes_takes_no_picture_with_it(tmp_path: Path) -> None:
    """TorchServe forgets what waits for it: without the gate, about three pictures in two times."""
    stage = OwnStage(tmp_path)
    try:
        stage.start()
        torture = Torture(stage, tmp_path)
        with Clients(stage.url, 6) as clients:
            for _ in range(5):
                change(torture, ("POST", "/models", {"archive": SECOND}), expected=True)
                canary = {"version": SECOND_VERSION, "share": 0.5}
                change(torture, ("PUT", "/canary", canary), expected=True)
                after = clients.answers["200"] + 24
                wait_for(lambda: clients.answers["200"] >= after, 60)  # noqa: B023
                change(torture, ("DELETE", "/canary", None), expected=True)
                gone = ("DELETE", f"/models/captioner/{SECOND_VERSION}", None)
                change(torture, gone, expected=True)
        assert [*clients.answers] == ["200"]
    finally:
        stage.close()
