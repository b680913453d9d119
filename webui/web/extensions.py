"""Flask's extensions, bound to an application with init_app, and our own objects in it."""

from __future__ import annotations

import math
import time
from typing import TypeVar, cast

from flask import Flask, current_app
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]

from webui.web.settings import Settings

__all__ = ["CSRFError", "csrf", "limiter", "provide", "seconds_to_wait", "service", "upload_limit"]

T = TypeVar("T")

csrf = CSRFProtect()

# Counted in the memory of this process: the page runs as one process with many threads.
limiter = Limiter(get_remote_address, storage_uri="memory://")


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
