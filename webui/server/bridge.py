"""The Flask application behind a server that waits for clients in one event loop.

A thread works on a request only from the end of its body to the answer's begin: no client, however
slow it sends or reads, keeps one. Uploads have threads of their own, so that health and pages are
answered while every upload waits for a caption.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

from webui.server.incoming import DRAINED, Body, Incoming, Receive, Scope, Send, busy

UPLOADS = 32  # threads that take captions, and most other changes
WAITING = 256  # requests that wait for one of them; more get 503
TURN_S = 20.0  # that one waits; a caption may take CAPTIONIZE_TIMEOUT_S beside that
PAGES = 8  # threads for what only reads
STREAMS = 64  # answers that are sent bit by bit, which keep a thread for as long

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
END = b""


class Bridge:
    """An ASGI application that answers as the WSGI application `app` does.

    `limit` is the largest body in bytes that is received before the application begins.
    """

    def __init__(self, app: WsgiApp, limit: int) -> None:
        self._app = app
        self._incoming = Incoming(limit)
        self._uploads, self._pages, self._streams = (
            ThreadPoolExecutor(count, thread_name_prefix="page")
            for count in (UPLOADS, PAGES, STREAMS)
        )
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(_headers(scope))
        body = Body(
            receive,
            asyncio.get_running_loop(),
            empty=headers.get("CONTENT_LENGTH", "0") == "0"
            and "HTTP_TRANSFER_ENCODING" not in headers,
        )
        try:
            small = int(headers.get("CONTENT_LENGTH", 0)) <= self._incoming.limit
            if small and not await self._incoming.receive(body):
                return
            answer = await self._answer(_environ(scope, headers, body))
        finally:
            self._incoming.release(body)
        await self._send(answer, body, send)

    async def _answer(self, environ: dict[str, Any]) -> _Answer:
        """Have a thread ask the application; what is refused anyway takes no upload's place."""
        loop = asyncio.get_running_loop()
        answer = _Answer(self._app, environ)
        body: Body = environ["wsgi.input"]
        upload = environ["REQUEST_METHOD"] == "POST"
        if upload and self._under_way >= UPLOADS + WAITING:
            body.error = body.error or busy()
        if not upload or body.error:
            await loop.run_in_executor(self._pages, answer.begin)
            return answer
        self._under_way += 1
        # What is larger than a picture is received as the application reads it.
        watch = asyncio.ensure_future(body.until_gone()) if body.complete else None
        try:
            begin = partial(answer.begin_in_turn, loop.time() + TURN_S, loop.time)
            await loop.run_in_executor(self._uploads, begin)
        finally:
            self._under_way -= 1
            if watch:
                watch.cancel()
        return answer

    async def _send(self, answer: _Answer, body: Body, send: Send) -> None:
        headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in answer.headers]
        if not body.complete:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if answer.rest is None:
            await _send_body(send, answer.whole)
        else:
            await self._stream(answer, body, send)
        await body.drain(DRAINED * self._incoming.limit)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _stream(self, answer: _Answer, body: Body, send: Send) -> None:
        """Send an answer as it is made, until its end or until its client goes away."""
        loop = asyncio.get_running_loop()
        watch = asyncio.ensure_future(body.watch())
        try:
            while chunk := await loop.run_in_executor(self._streams, answer.next_chunk):
                if body.gone:
                    break
                await _send_body(send, chunk)
        finally:
            watch.cancel()
            await loop.run_in_executor(self._streams, answer.close)


async def _send_body(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


class _Answer:
    """What the application answers; with a length it is made at once, else piece by piece."""

    def __init__(self, app: WsgiApp, environ: dict[str, Any]) -> None:
        self._app, self._environ = app, environ
        self._context = contextvars.copy_context()  # the same for every piece
        self._iterable: Iterable[bytes] = ()
        self.status = 500
        self.headers: list[tuple[str, str]] = []
        self.whole = b""
        self.rest: Iterator[bytes] | None = None

    def begin(self) -> None:
        """In a thread: ask for the answer."""
        self._context.run(self._begin)

    def begin_in_turn(self, give_up: float, now: Callable[[], float]) -> None:
        """In a thread: the same, unless the client has gone or waited too long by now."""
        body: Body = self._environ["wsgi.input"]
        if body.gone:
            return
        if now() > give_up:
            body.error = body.error or busy()
        self.begin()

    def _begin(self) -> None:
        self._iterable = self._app(self._environ, self._start)
        if self._has_end():
            try:
                self.whole = b"".join(self._iterable)
            finally:
                self._close()
        else:
            self.rest = iter(self._iterable)

    def _has_end(self) -> bool:
        known = any(name.lower() == "content-length" for name, _ in self.headers)
        return known or self.status in (204, 304) or self._environ["REQUEST_METHOD"] == "HEAD"

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status, self.headers = int(status.split()[0]), headers

    def next_chunk(self) -> bytes:
        """In a thread: the next piece that is not empty; empty at the end."""
        assert self.rest is not None
        pieces = self.rest
        return self._context.run(lambda: next(filter(None, pieces), END))

    def close(self) -> None:
        """In a thread: let the application clear up."""
        self._context.run(self._close)

    def _close(self) -> None:
        if close := getattr(self._iterable, "close", None):
            close()


def _headers(scope: Scope) -> Iterator[tuple[str, str]]:
    """The request's headers by their names in WSGI."""
    merged: dict[str, str] = {}
    for name, value in scope["headers"]:
        if b"_" in name:  # it would pass for another one, with a hyphen
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}"
        text = value.decode("latin-1")
        separator = "; " if key == "HTTP_COOKIE" else ", "
        merged[key] = f"{merged[key]}{separator}{text}" if key in merged else text
    yield from merged.items()


def _environ(scope: Scope, headers: dict[str, str], body: Body) -> dict[str, Any]:
    """The request as PEP 3333 describes it."""
    host, port = scope["server"] or ("localhost", 0)
    return {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": scope["client"][0] if scope["client"] else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **headers,
    }
