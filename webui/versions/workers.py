"""Starting workers and waiting for them, with the reason when they do not come up."""

from __future__ import annotations

import time
from pathlib import Path

from webui.torchserve import startup
from webui.torchserve.errors import TorchServeError
from webui.torchserve.management import Management, Version
from webui.versions.jobs import Progress
from webui.web.problem import ServiceError

POLL_S = 0.5
REASON = 300  # characters of a worker's last error that are passed on


class Workers:
    """The workers of versions.

    Args:
        log: where TorchServe collects what workers write; None where the page does not see it.
    """

    def __init__(self, management: Management, log: Path | None) -> None:
        self._management = management
        self._log = log

    def scale(self, model: str, version: str, workers: int, progress: Progress) -> None:
        """Ask for so many workers and wait until all are ready. Raises ServiceError."""
        watch = startup.Startup(self._log, f"-{model}_{version}-")
        self._management.scale(model, version, workers)
        give_up = time.monotonic() + startup.START_S
        while time.monotonic() < give_up:
            if now := self._version(model, version):
                if now.ready == len(now.workers) == workers:
                    return
                progress(f"{now.ready} of {count(workers)} ready.")
                if watch.crashing((one.pid for one in now.workers), workers):
                    raise ServiceError(
                        f"The workers of {model} {version} crash while starting{_reason(watch)}. "
                        "The change was undone.",
                        code=502,
                        type="WorkersCrash",
                    )
            time.sleep(POLL_S)
        raise ServiceError(
            f"Not all workers of {model} {version} were ready after {startup.START_S:g} s"
            f"{_reason(watch)}. The change was undone.",
            code=504,
            type="TooSlow",
        )

    def _version(self, model: str, version: str) -> Version | None:
        """The version as it is now; None while TorchServe is slow or away. Raises its 404."""
        try:
            return self._management.version(model, version)
        except TorchServeError as error:
            if error.code == 404:
                raise
            return None


def count(workers: int) -> str:
    """A number of workers in words."""
    return f"{workers} worker" if workers == 1 else f"{workers} workers"


def _reason(watch: startup.Startup) -> str:
    error = watch.last_error()
    return f": {error[:REASON].rstrip('.')}" if error else ""
