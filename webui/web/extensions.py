"""Flask's extensions, made once and bound to an application with init_app."""

from __future__ import annotations

import math
import time

from flask import current_app
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]

__all__ = ["CSRFError", "csrf", "limiter", "seconds_to_wait", "upload_limit"]

csrf = CSRFProtect()

# Counted in the memory of this process: the page runs as one process with many threads.
limiter = Limiter(get_remote_address, storage_uri="memory://")


def _uploads_allowed() -> str:
    rate: str = current_app.extensions["settings"].rate_limit
    return rate


upload_limit = limiter.shared_limit(_uploads_allowed, scope="uploads")


def seconds_to_wait() -> int:
    """Whole seconds until the client that was just refused may upload again."""
    limit = limiter.current_limit
    return max(1, math.ceil(limit.reset_at - time.time())) if limit else 1
