"""A request's body on its way in: how long it may take, and how much memory all of them may hold.

The event loop receives it, so that a client that stalls holds no thread. A picture's body is whole
before the application sees the request. What is larger, an archive or something to refuse, is
handed over at its beginning and read as the application asks for it: who may not send an archive
learns so before it is sent, and one that is accepted goes to its file in pieces.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from io import RawIOBase
from typing import Any

from webui.web.problem import ServiceError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATIENCE_S = 30.0  # for a body of any size
SLOWEST = 1024  # bytes a second that a body may take beyond that
HELD = 24  # bodies of the largest size that memory may hold at the same time
DRAINED = 4  # a refused body is read up to so many times the largest
DRAIN_S = 10.0
PAUSE_S = 1.0  # that its client may pause


class Incoming:
    """All bodies that are held in memory, in the order of their begin."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._arriving: dict[Body, asyncio.Timeout] = {}

    async def receive(self, body: Body) -> bool:
        """Receive a body up to the limit; False where its client goes away.

        A client that takes too long, or that keeps too many others from sending, gets an error
        where the application reads.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(PATIENCE_S) as timeout:
                self._arriving[body] = timeout
                while not body.complete and body.held <= self.limit:
                    size = len(await body.next_chunk())
                    if body.error:  # it gave way: what still comes counts no more
                        break
                    self.held += size
                    body.held += size
                    timeout.reschedule(begun + PATIENCE_S + body.held / SLOWEST)
                    self._make_room(loop.time())
        except TimeoutError:
            body.error = body.error or too_slow()
        finally:
            self._arriving.pop(body, None)
        return not body.gone

    def _make_room(self, now: float) -> None:
        """Give up the body that arrives for longest, while all hold too much."""
        while self.held > HELD * self.limit and self._arriving:
            body = next(iter(self._arriving))
            timeout = self._arriving.pop(body)
            self.release(body)
            if not timeout.expired():
                body.error = busy()
                timeout.reschedule(now)

    def release(self, body: Body) -> None:
        """Forget what is held of a body."""
        self.held -= body.held
        body.drop()


class Body(RawIOBase):
    """One body, as the file that the application reads."""

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop, *, empty: bool) -> None:
        self._receive, self._loop = receive, loop
        self._chunks = bytearray()
        self.complete = empty
        self.gone = False  # its client
        self.held = 0  # bytes of it that count as held in memory
        self.error: ServiceError | None = None

    async def next_chunk(self) -> bytes:
        """Receive some more of it; empty at its end, and when its client goes away."""
        message = await self._receive()
        self.gone = message["type"] == "http.disconnect"
        self.complete = self.gone or not message.get("more_body", False)
        chunk = message.get("body", b"")
        self._chunks += chunk
        return chunk  # type: ignore[no-any-return]

    def drop(self) -> None:
        """Free its memory."""
        self._chunks.clear()
        self.held = 0

    async def until_gone(self) -> None:
        """Wait until the client of a complete body goes away."""
        while not self.gone:
            await self.next_chunk()

    async def watch(self) -> None:
        """Wait until its client goes away, while it is answered bit by bit."""
        while not self.gone:
            await self.next_chunk()
            self.drop()

    async def drain(self, most: int) -> None:
        """Read what is left, so that the client gets to see the answer.

        Closing a connection with unread data resets it, and a browser then shows a network error
        in place of our sentence. Bounded: whoever pauses or goes on for too long gets the reset.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + DRAIN_S
        with contextlib.suppress(TimeoutError):
            while not self.complete and most > 0 and loop.time() < give_up:
                async with asyncio.timeout(PAUSE_S):
                    most -= len(await self.next_chunk())
                self.drop()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Called in a thread of the application, which it may keep waiting for a large body."""
        if self.error is not None:
            raise self.error
        while not self._chunks and not self.complete:
            self._wait()
        if self.gone:
            raise ConnectionError("The client went away.")
        size = min(len(buffer), len(self._chunks))
        buffer[:size] = self._chunks[:size]
        del self._chunks[:size]
        return size

    def _wait(self) -> None:
        more = asyncio.run_coroutine_threadsafe(self.next_chunk(), self._loop)
        try:
            more.result(PATIENCE_S)
        except TimeoutError as error:
            more.cancel()
            self.error = too_slow()
            raise self.error from error


def too_slow() -> ServiceError:
    """The error for a client that takes too long to send."""
    return ServiceError(
        f"Expected the whole request within {PATIENCE_S:g} s, or {SLOWEST} bytes of it a second, "
        "got less. Send it again, or over a faster connection.",
        code=408,
        type="TooSlowToSend",
    )


def busy() -> ServiceError:
    """The error where more is sent at the same time than can be held or answered."""
    return ServiceError(
        "Too many pictures are being sent just now. Try again in a few seconds.",
        code=503,
        type="Busy",
        retry_after_s=3,
    )
