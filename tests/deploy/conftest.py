"""What tests of deploy/ share."""

from __future__ import annotations

import pytest

from tests.deploy.engine import IMAGE, has, run


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the image, built on the engine that answers here."""
    if not has("docker", "info"):
        pytest.skip("no Docker engine answers here: `docker info` says why")
    # Where the host reaches a package index, the build does so by the host's network.
    run("make", "image", "ARGS=--network host")
    return IMAGE
