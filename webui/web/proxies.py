"""Reverse proxies in front: what they say is believed of as many as CAPTIONIZE_PROXIES counts."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, current_app, request
from werkzeug.middleware.proxy_fix import ProxyFix

from webui.web.settings import Settings

log = logging.getLogger(__name__)

PATH = re.compile(r"(/[\w.~-]+)+", re.ASCII)
FORWARDED = ("X-Forwarded-For", "Forwarded")


def init_app(app: Flask) -> None:
    """Take addresses, scheme and host from the proxies that are trusted, or notice that none is."""
    settings: Settings = app.extensions["settings"]
    app.wsgi_app = _prefixed(  # type: ignore[method-assign]
        app.wsgi_app, os.environ.get("SCRIPT_NAME", "")
    )
    if count := settings.proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=count, x_host=count, x_prefix=count
        )
        return
    noticed = threading.Event()

    def notice() -> None:
        if noticed.is_set() or not any(name in request.headers for name in FORWARDED):
            return
        if _nearby(request.remote_addr or ""):
            noticed.set()
            log.warning(
                "Requests come through a reverse proxy, and CAPTIONIZE_PROXIES counts none: all "
                "visitors share one limit of uploads and of wrong passwords, and cookies are not "
                "Secure. Set it to the number of proxies in front."
            )

    app.before_request(notice)


def _prefixed(wsgi_app: Callable[..., Any], usual: str) -> Callable[..., Any]:
    """Serve under the prefix that a proxy names, else the usual one.

    Proxies may take it off the path or leave it there; checks on the machine itself ask without.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        # Normalised: an address that began with two slashes would lead to another server.
        prefix = f"/{(environ.get('SCRIPT_NAME') or usual).strip('/')}"
        prefix = prefix if PATH.fullmatch(prefix) else ""
        path = environ.get("PATH_INFO", "")
        if prefix and f"{path}/".startswith(f"{prefix}/"):
            path = path.removeprefix(prefix) or "/"
        environ = {**environ, "SCRIPT_NAME": prefix, "PATH_INFO": path}
        return wsgi_app(environ, start_response)

    return answer


def address() -> str:
    """The client's address, without the port that some proxies write beside it."""
    given = request.remote_addr or ""
    if _parsed(given) is None:
        with suppress(ValueError):
            given = urlsplit(f"//{given}").hostname or given
    return given or "unknown"


def network() -> str:
    """The address as it is counted by: of IPv6 the /64, which one visitor has whole."""
    client = address()
    if (parsed := _parsed(client)) is None:
        return client
    if mapped := getattr(parsed, "ipv4_mapped", None):
        parsed = mapped
    bits = 64 if parsed.version == 6 else 32
    return str(ipaddress.ip_network((parsed, bits), strict=False).network_address)


def under_tls() -> bool:
    """Whether the visitor's own connection is encrypted, according to a trusted proxy.

    Of several, each may pass on what the one before said instead of adding to it.
    """
    settings: Settings = current_app.extensions["settings"]
    said = request.headers.get("X-Forwarded-Proto", "") if settings.proxies else ""
    return request.is_secure or "https" in [one.strip().lower() for one in said.split(",")]


def _nearby(peer: str) -> bool:
    """Whether a peer is on this machine or in a private network, as one's own proxy is."""
    parsed = _parsed(peer)
    return parsed is None or not parsed.is_global  # no address: a socket of this machine


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
