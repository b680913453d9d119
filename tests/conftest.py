"""What all tests need."""

from __future__ import annotations

import signal
from typing import Any

import pytest

# Whoever starts pytest in the background has it ignore Ctrl-C (a shell's &) or the end of the
# terminal (nohup), and whatever it starts would inherit that. The tests send both signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

OF_ITS_OWN = (
    "test_fleet.py",
    "test_fuzz.py",
    "test_starting.py",
    "test_staying.py",
    "test_tracing.py",
)  # files of tests/e2e that start own services


def group(nodeid: str) -> str:
    """What a test shares with others: a service, an image, the taught captioners, or its file."""
    file = nodeid.partition("::")[0]
    if file.startswith("tests/training/"):
        return "tests/training"
    if file in ("tests/deploy/test_containers.py", "tests/deploy/test_pod.py"):
        return "the image that both build"
    if file.startswith("tests/e2e/") and not file.endswith(OF_ITS_OWN):
        return file.rpartition("/")[0]
    return file


@pytest.hookimpl(optionalhook=True)  # a hook of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One process runs all of a group, so what its tests share is made once; see `group`.

    Not with --dist loadgroup, which does nothing under pytest 9.2: pytest-xdist 3.8 writes a
    test's group into its name, which is no longer kept.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Groups(config, log)
