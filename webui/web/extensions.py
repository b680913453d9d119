"""Flask's extensions, bound to an application with init_app, and our own objects in it."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from typing import TypeVar, cast

from flask import Flask, current_app
from flask_limiter import Limiter
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]
from limits.storage import MemoryStorage

from webui.web.proxies import network
from webui.web.settings import Settings

__all__ = [
    "CSRFError",
    "csrf",
    "limiter",
    "provide",
    "seconds_to_wait",
    "service",
    "upload_limit",
]

T = TypeVar("T")

csrf = CSRFProtect()


class BoundedMemory(MemoryStorage):
    """Counts in the memory of this process, for a bounded number of addresses.

    Whoever has more addresses than that has as many limits of their own anyway.
    """

    STORAGE_SCHEME = ["bounded-memory"]  # noqa: RUF012
    MOST = 50_000  # some 20 MB

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        while len(self.storage) >= self.MOST and key not in self.storage:
            with contextlib.suppress(RuntimeError):  # another thread changed it just now
                self.clear(next(iter(self.storage)))  # the oldest
        return super().incr(key, expiry, amount)


limiter = Limiter(network, storage_uri=f"{BoundedMemory.STORAGE_SCHEME[0]}://")
logging.getLogger("flask-limiter").setLevel(logging.WARNING)  # its notes name who was refused


upload_limit = limiter.shared_limit(lambda: service(Settings).rate_limit, scope="uploads")


def provide(app: Flask, *services: object) -> None:
    """Give the application its one object of each of these classes."""
    app.extensions |= {type(one).__name__.lower(): one for one in services}


def service(kind: type[T]) -> T:
    """The running application's one object of this class."""
    return cast(T, current_app.extensions[kind.__name__.lower()])


def seconds_to_wait() -> int:
    """Whole seconds until the client that was just refused may upload again."""
    limit = limiter.current_limit
    return max(1, math.ceil(limit.reset_at - time.time())) if limit else 1
