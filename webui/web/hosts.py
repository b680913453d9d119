"""Host names: those that the page answers to, however a client writes them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Flask

from webui.web.settings import LOOPBACK, Settings

HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d+)?")
EVERYWHERE = ("0.0.0.0", "::")  # nosec B104 # recognised, not bound


def init_app(app: Flask) -> None:
    """Trust the settings' names, this machine's own, and the address that is listened at."""
    settings: Settings = app.extensions["settings"]
    # The machine itself is always trusted, whatever names the page has outside.
    names = [*settings.trusted_hosts, *LOOPBACK, "::1"]
    names += [settings.host] if settings.host not in EVERYWHERE else []
    app.config["TRUSTED_HOSTS"] = [name for name in names if not _version6(name)]
    addresses = {address for name in names if (address := _version6(name))}
    app.wsgi_app = _uniform(app.wsgi_app, addresses)  # type: ignore[method-assign]


def _uniform(
    wsgi_app: Callable[..., Any], addresses: set[ipaddress.IPv6Address]
) -> Callable[..., Any]:
    """Write names in lower case and without a last dot, and our addresses of version 6 as a name.

    Werkzeug compares names letter by letter, and takes what follows an address's first colon for
    its port.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if found := HOST.fullmatch(environ.get("HTTP_HOST", "")):
            name, port = found[1].lower().removesuffix("."), found[2] or ""
            own = name.startswith("[") and _version6(name) in addresses
            environ = {**environ, "HTTP_HOST": f"{LOOPBACK[0] if own else name}{port}"}
        return wsgi_app(environ, start_response)

    return answer


def _version6(name: str) -> ipaddress.IPv6Address | None:
    with suppress(ValueError):
        return ipaddress.IPv6Address(name.removeprefix("[").removesuffix("]"))
    return None
