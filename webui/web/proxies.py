"""Reverse proxies in front: what they say is believed of as many as CAPTIONIZE_PROXIES counts."""

from __future__ import annotations

import ipaddress
import logging
import threading
from contextlib import suppress
from urllib.parse import urlsplit

from flask import Flask, current_app, request
from werkzeug.middleware.proxy_fix import ProxyFix

from webui.web.settings import Settings

log = logging.getLogger(__name__)

FORWARDED = ("X-Forwarded-For", "Forwarded")


def init_app(app: Flask) -> None:
    """Take addresses, scheme and host from the proxies that are trusted, or notice that none is."""
    settings: Settings = app.extensions["settings"]
    if count := settings.proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=count, x_host=count
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
