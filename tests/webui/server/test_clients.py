"""Clients that send slowly, too much, or not at all: none keeps another from its answer."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.torture.slow import SlowClients, captions
from tests.webui.administration import TOKEN
from tests.webui.server.conftest import LIMIT, ROOT, Served, answered
from webui.server import bridge, connection, incoming
from webui.server.bridge import WsgiApp
from webui.server.run import check_environment, listen
from webui.web.problem import ServiceError

Serve = Callable[[WsgiApp], int]


def size_of_body(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """An application that answers how much it read, or its error."""
    try:
        text = str(len(environ["wsgi.input"].read()))
        status = "200 OK"
    except ServiceError as error:
        status, text = f"{error.code} X", error.type
    start(status, [("Content-Length", str(len(text)))])
    return [text.encode()]


def send(port: int, *parts: bytes, wait: float = 10) -> bytes:
    """What is answered to these bytes, until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as client:
        for part in parts:
            client.sendall(part)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    return answer


def head(length: int, *more: str) -> bytes:
    lines = ("POST / HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *more)
    return "\r\n".join((*lines, "\r\n")).encode()


def test_the_end_of_an_answer_does_not_wait_for_the_client_to_confirm_its_beginning(
    serving: Serve,
) -> None:
    with socket.create_connection(("127.0.0.1", serving(size_of_body)), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100)
        (ours,) = [one.transport.get_extra_info("socket") for one in connection.Connection.open]
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_500_stalled_and_500_trickling_clients_delay_nobody(served: Served) -> None:
    with SlowClients(served.url, 500, 500) as slow:
        assert slow.connected.wait(30)
        assert slow.open == 1000
        answers = list(islice(captions(served.url, 60, bytes(1000)), 25))
        assert requests.get(f"{served.url}/healthz", timeout=2).ok
    assert {code for code, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) < 2


def test_a_head_that_does_not_come_ends_the_connection(
    serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.2)
    port = serving(size_of_body)
    for sent in (b"", b"GET / HT"):
        assert send(port, sent) == b""
    # A connection that is kept has the same time for each head.
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(head(1) + b"x")
        assert answered(client) == (200, b"1")
        client.sendall(b"GET")
        assert client.recv(1) == b""


def test_a_body_that_does_not_come_is_answered(
    serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "PATIENCE_S", 0.2)
    monkeypatch.setattr(incoming, "PAUSE_S", 0.1)
    port = serving(size_of_body)
    answer = send(port, head(100), b"x")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"TooSlowToSend")
    # Beyond the limit the application itself waits, and no longer.
    assert b"TooSlowToSend" in send(port, head(2 * LIMIT), b"x")


def test_who_sends_fast_enough_has_longer(serving: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "PATIENCE_S", 0.3)
    parts = [bytes(1024)] * 5
    port = serving(size_of_body)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(head(5 * 1024, "Connection: close"))
        for part in parts:
            client.sendall(part)
            time.sleep(0.15)
        assert answered(client) == (200, b"5120")


def test_the_oldest_body_gives_way_when_all_hold_too_much(
    serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "HELD", 1)
    port = serving(size_of_body)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as oldest:
        oldest.sendall(head(LIMIT) + bytes(LIMIT - 1))
        newer = send(port, head(LIMIT, "Connection: close"), bytes(LIMIT))
        assert newer.endswith(str(LIMIT).encode())
        assert answered(oldest) == (503, b"Busy")


def test_the_oldest_connection_gives_way_when_there_are_too_many(
    serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "most_connections", lambda: 2)
    port = serving(size_of_body)
    held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(2)]
    assert send(port, head(1, "Connection: close"), b"x").endswith(b"1")
    assert held[0].recv(1) == b""
    held[1].sendall(head(1) + b"x")
    assert answered(held[1]) == (200, b"1")
    for one in held:
        one.close()


def test_uploads_that_wait_leave_threads_for_health(
    serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "UPLOADS", 1)
    monkeypatch.setattr(bridge, "WAITING", 1)
    busy, free = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["HTTP_X_WAIT"] == "yes":
            busy.set()
            assert free.wait(10)
        return size_of_body(environ, start)

    port = serving(app)
    url = f"http://127.0.0.1:{port}/"
    with socket.create_connection(("127.0.0.1", port)) as first:
        first.sendall(head(1, "X-Wait: yes") + b"x")
        assert busy.wait(10)
        with socket.create_connection(("127.0.0.1", port)) as second:
            second.sendall(head(1, "X-Wait: no") + b"x")
            code = 0
            while code != 503:  # once the second one waits for a thread
                assert requests.get(url, headers={"X-Wait": "no"}, timeout=5).status_code == 200
                with contextlib.suppress(requests.Timeout):
                    answer = requests.post(url, b"x", headers={"X-Wait": "no"}, timeout=0.5)
                    code = answer.status_code
            free.set()
            assert answered(second) == (200, b"1")
        assert answered(first) == (200, b"1")


@pytest.mark.parametrize("leaves", [False, True])
def test_who_waits_too_long_for_a_thread_is_told_so_and_who_has_gone_is_passed_over(
    serving: Serve, monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    monkeypatch.setattr(bridge, "UPLOADS", 1)
    monkeypatch.setattr(bridge, "TURN_S", 60.0 if leaves else 0.1)
    begun, free = threading.Semaphore(0), threading.Event()
    lengths = []

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        lengths.append(environ["CONTENT_LENGTH"])
        begun.release()
        assert free.wait(10)
        return size_of_body(environ, start)

    address = ("127.0.0.1", serving(app))
    with socket.create_connection(address) as first, socket.create_connection(address) as second:
        first.sendall(head(1) + b"x")
        assert begun.acquire(timeout=10)
        second.sendall(head(2) + b"xx")
        time.sleep(0.2)  # until it waits for the thread, for too long
        if leaves:
            second.close()
            time.sleep(0.1)
        free.set()
        assert answered(first) == (200, b"1")
        if not leaves:
            assert answered(second) == (503, b"Busy")
        first.sendall(head(3) + b"xxx")
        assert answered(first) == (200, b"3")
    assert lengths == (["1", "3"] if leaves else ["1", "2", "3"])


def test_an_answer_is_streamed_and_ends_with_its_client(serving: Serve) -> None:
    go_on, closed = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/event-stream")])

        def events() -> Iterator[bytes]:
            try:
                while True:
                    yield b"data: 1\n\n"
                    go_on.wait(0.05)
            finally:
                closed.set()

        return events()

    url = f"http://127.0.0.1:{serving(app)}/"
    with requests.get(url, stream=True, timeout=10) as answer:
        lines = answer.iter_lines()
        assert [next(lines), next(lines), next(lines)] == [b"data: 1", b"", b"data: 1"]
    assert closed.wait(10)


def test_a_large_body_is_read_as_it_comes_and_not_held(serving: Serve) -> None:
    read = []

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        while chunk := environ["wsgi.input"].read(65536):
            read.append(len(chunk))
        start("204 No Content", [])
        return []

    before = memory()
    size = 64 * LIMIT
    parts = [bytes(LIMIT)] * 64
    answer = send(serving(app), head(size, "Connection: close"), *parts, wait=30)
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert sum(read) == size
    assert memory() - before < 32 * LIMIT


def memory() -> int:
    """The largest resident size of this process so far, in bytes."""
    status = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return next(int(words[1]) * 1024 for words in status if words[0] == "VmHWM:")


def test_who_may_not_send_an_archive_learns_so_before_it_is_sent(served: Served) -> None:
    port = int(served.url.rpartition(":")[2])
    lines = ("POST /api/archives HTTP/1.1", "Host: localhost", "Content-Length: 400000000", "\r\n")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall("\r\n".join(lines).encode())
        status, answer = answered(client)
    assert (status, json.loads(answer)["type"]) == (403, "AdministratorOff")


def test_names_with_an_underscore_do_not_pass_for_others(serving: Serve) -> None:
    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        text = environ.get("HTTP_X_FORWARDED_FOR", "none")
        start("200 OK", [("Content-Length", str(len(text)))])
        return [text.encode()]

    port = serving(app)
    assert send(port, head(0, "X_Forwarded_For: 1.2.3.4", "Connection: close")).endswith(b"none")


@pytest.mark.parametrize("name", ["WEB_CONCURRENCY", "UVICORN_WORKERS"])
def test_more_than_one_process_is_refused(name: str) -> None:
    environ = {**os.environ, name: "4", "CAPTIONIZE_ADMIN_TOKEN": TOKEN}
    ended = subprocess.run(
        [sys.executable, "-m", "webui"], cwd=ROOT, env=environ, capture_output=True, timeout=30
    )
    assert ended.returncode == 1
    assert ended.stderr.decode().startswith(f"{name}: expected 1, got '4'. The page is one process")
    check_environment({name: "1"})


def test_a_port_in_use_is_named(served: Served) -> None:
    port = served.url.rpartition(":")[2]
    environ = {**os.environ, "CAPTIONIZE_PORT": port}
    ended = subprocess.run(
        [sys.executable, "-m", "webui"], cwd=ROOT, env=environ, capture_output=True, timeout=30
    )
    assert ended.returncode == 1
    *_, last = ended.stderr.decode().splitlines()
    assert last.startswith(f"127.0.0.1 port {port}: Address already in use")


def test_every_address_is_of_both_families() -> None:
    with listen("::", 0) as listener:
        address = ("127.0.0.1", listener.getsockname()[1])
        socket.create_connection(address, timeout=5).close()
