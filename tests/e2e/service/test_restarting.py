"""Every part is stopped and started again under clients, and none loses an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Service, wait_for
from tests.torture.clients import Clients
from tests.torture.restarts import lost, restart


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
