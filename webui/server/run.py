"""The server of the page: one process, in which one event loop waits for all clients."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Mapping

import uvicorn

from webui.server.bridge import Bridge, WsgiApp
from webui.server.connection import protocol

GRACE_S = 30  # that requests under way have to finish at a stop
KEEP_ALIVE_S = 5
BACKLOG = 2048  # connections that the system holds until the event loop accepts them

log = logging.getLogger(__name__)


def check_environment(environ: Mapping[str, str]) -> None:
    """Raise ValueError where more than one process is asked for, as other servers are."""
    for name in ("WEB_CONCURRENCY", "UVICORN_WORKERS"):
        if environ.get(name, "1") not in ("", "1"):
            raise ValueError(
                f"{name}: expected 1, got {environ[name]!r}. The page is one process: rate "
                "limits, sessions, jobs and figures are in its memory. Unset it; captions become "
                "faster with CAPTIONIZE_WORKERS. Several pages, each at a port of its own with a "
                "TorchServe, share all that in a Redis: set CAPTIONIZE_SHARED_STORE"
            )


def configuration(app: WsgiApp, limit: int) -> uvicorn.Config:
    """The server's settings.

    `limit` is the largest body in bytes that is received before the application sees the request.
    """
    return uvicorn.Config(
        Bridge(app, limit),
        loop="asyncio",
        http=protocol(),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,  # the application's own log has a line a request, without who sent what
        proxy_headers=False,  # the application believes CAPTIONIZE_PROXIES alone
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def serve(app: WsgiApp, listener: socket.socket, limit: int) -> None:
    """Answer until a signal asks for the end, then finish what is under way."""
    if "GUNICORN_CMD_ARGS" in os.environ:
        log.warning("GUNICORN_CMD_ARGS is ignored: gunicorn does not serve the page any more")
    server = uvicorn.Server(configuration(app, limit))

    def stop(*_: object) -> None:
        server.should_exit = True

    for signum in (signal.SIGINT, signal.SIGTERM):
        # Before uvicorn's own handlers, and after them: it raises the signal once more when it has
        # finished, but a stop that was asked for is no error.
        signal.signal(signum, stop)
    log.info("Listening at %s port %d", *listener.getsockname()[:2])
    server.run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """The page's socket; `::` is every address, of IPv4 too. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
