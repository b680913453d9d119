"""Flask's extensions, bound to an application with init_app, and our own objects in it."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from typing import Any, TypeVar, cast

from flask import Flask, current_app, g, request
from flask_limiter import Limiter
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]
from limits import parse_many
from limits.storage import MemoryStorage
from werkzeug.exceptions import TooManyRequests

from webui.web.keys import Key, find
from webui.web.proxies import network
from webui.web.settings import Settings
from webui.web.shared import Redis, Shared, StoreAway

__all__ = [
    "CSRFError",
    "bearer",
    "caller",
    "count_in",
    "count_more",
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


class SharedCounts(BoundedMemory):
    """Counts in the store that the pages share; while it is away, each page's memory counts on."""

    STORAGE_SCHEME = ["shared"]  # noqa: RUF012

    def __init__(self, uri: str | None = None, *, store: Redis, **more: Any) -> None:
        super().__init__(uri, **more)
        self._store = store

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        with contextlib.suppress(StoreAway):
            return self._store.count(f"limit:{key}", amount, expiry)
        return super().incr(key, expiry, amount)

    def get(self, key: str) -> int:
        with contextlib.suppress(StoreAway):
            return int(self._store.texts(f"limit:{key}")[0] or 0)
        return super().get(key)

    def get_expiry(self, key: str) -> float:
        with contextlib.suppress(StoreAway):
            return time.time() + self._store.life_s(f"limit:{key}")
        return super().get_expiry(key)

    def clear(self, key: str) -> None:
        with contextlib.suppress(StoreAway):
            self._store.drop(f"limit:{key}")
        super().clear(key)


def count_in(app: Flask, store: Shared) -> None:
    """Have uploads and guesses counted in this store."""
    kind = SharedCounts if isinstance(store, Redis) else BoundedMemory
    app.config["RATELIMIT_STORAGE_URI"] = f"{kind.STORAGE_SCHEME[0]}://"
    app.config["RATELIMIT_STORAGE_OPTIONS"] = {"store": store}


def bearer() -> str | None:
    """The bearer token that was sent; credentials of other schemes are a proxy's, not ours."""
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def caller() -> Key | None:
    """The program's key that this request bears, looked up once."""
    if "caller" not in g:
        g.caller = find(service(Settings).api_keys, bearer() or "")
    return g.caller  # type: ignore[no-any-return]


def _counted_by() -> str:
    """Whose uploads are limited together: those of a key, or those of an address."""
    key = caller()
    return f"key {key.name}" if key else network()


def _rate() -> str:
    key = caller()
    return (key and key.rate) or service(Settings).rate_limit


limiter = Limiter(_counted_by)
logging.getLogger("flask-limiter").setLevel(logging.WARNING)  # its notes name who was refused


UPLOADS = "uploads"
upload_limit = limiter.shared_limit(_rate, scope=UPLOADS)


def count_more(uploads: int) -> None:
    """Count pictures of a request beyond its first one. Raises TooManyRequests."""
    for limit in parse_many(_rate()):
        if uploads and not limiter.limiter.hit(limit, _counted_by(), UPLOADS, cost=uploads):
            raise TooManyRequests


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
