"""Connections that cannot be kept for nothing: each has a while to send a request's head."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 15.0  # from a connection's begin, or a head's first byte, to the head's end
UNREAD_S = 60  # that an answer may lie at a client that takes nothing of it
LINGER_S = 1.0  # at a stop: what was on its way when the server ceased to listen arrives
MOST = 4096  # connections; one more, and the oldest that waits for its client is closed
RESERVED = 256  # file descriptors for everything else


def most_connections() -> int:
    """How many connections there may be, after asking the system for as many as it gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + RESERVED
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MOST if soft == resource.RLIM_INFINITY else max(RESERVED, min(MOST, soft - RESERVED))


class Connection(H11Protocol):
    """Uvicorn's connection, and what it leaves to a proxy in front."""

    most = MOST
    open: dict[Connection, None] = {}  # noqa: RUF012  # of the process, the oldest first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head: asyncio.TimerHandle | None = None
        self._stopping = False
        if sock := transport.get_extra_info("socket"):
            # asyncio does so for listeners of its own making alone. Without it the end of an answer
            # waits until a client that is slow to confirm has confirmed its beginning: 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            unread_ms = int(UNREAD_S * 1000)
            with contextlib.suppress(AttributeError, OSError):  # Linux has it
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread_ms)
        self.open[self] = None
        self._expect_head()
        if len(self.open) > self.most:
            self._make_room()

    def shutdown(self) -> None:
        """At a stop: answer what is under way, and what a client sends just now."""
        self._stopping = True
        if self._idle():
            self.loop.call_later(LINGER_S, self._close_idle)
        else:
            super().shutdown()

    def _close_idle(self) -> None:
        if self._idle():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.pop(self, None)
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._idle():
            self._expect_head()
            return
        self._forget_head()
        if self._stopping:
            super().shutdown()

    def on_response_complete(self) -> None:
        self._forget_head()
        super().on_response_complete()

    def _idle(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(HEAD_S, self.transport.abort)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _make_room(self) -> None:
        """Close the oldest connection on which the next step is the client's."""
        for one in self.open:
            if one._idle() or one.cycle.more_body:
                del self.open[one]
                one.transport.abort()
                return


def protocol() -> type[Any]:
    """The class for the server's configuration."""
    Connection.most = most_connections()
    return Connection
