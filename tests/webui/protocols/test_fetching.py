"""Pictures on other hosts: only from listed ones, and never from a private network."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from flask import Flask

from tests.webui.protocols.sending import PICTURE
from webui.protocols import fetching
from webui.web.problem import ServiceError

NAME = "photos.example"
PUBLIC, PRIVATE = "127.0.0.2", "127.0.0.1"  # which the first test takes for a public one


class Host:
    """A web server at both addresses, which answers what a test says and notes who asked where."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = self.connection.getsockname()[0]
                host.asked.append((address, self.headers["Host"], self.path))
                code, headers, body = host.answers.get(self.path, (404, {}, b""))
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def host() -> Iterator[Host]:
    running = Host()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the name resolves to, an answer a question; numbers resolve to themselves."""
    answers: list[list[str]] = []
    real = socket.getaddrinfo

    def resolve(name: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if name[:1].isdigit():
            return real(name, port, *args, **kwargs)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in answers.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(fetching, "is_public", lambda address: address == PUBLIC)
    return answers


@pytest.fixture
def fetch(make_app: Callable[..., Flask]) -> Callable[[str], bytes]:
    app = make_app(PICTURE_HOSTS=f"{NAME}, .cdn.example", MAX_UPLOAD_MB=0.001)

    def fetch(url: str) -> bytes:
        with app.test_request_context():
            return fetching.fetch(url)

    return fetch


def test_the_address_that_was_checked_is_the_one_that_is_asked(
    fetch: Callable[[str], bytes], host: Host, resolved: list[list[str]]
) -> None:
    host.answers["/p.jpg?a=1"] = (200, {}, PICTURE)
    resolved += [[PUBLIC], [PRIVATE]]  # another answer to a second question, which must not come
    assert fetch(f"http://{NAME}:{host.port}/p.jpg?a=1") == PICTURE
    assert host.asked == [(PUBLIC, f"{NAME}:{host.port}", "/p.jpg?a=1")]
    assert resolved == [[PRIVATE]]


@pytest.mark.parametrize("addresses", [[PRIVATE], [PUBLIC, PRIVATE], []])
def test_a_name_in_a_private_network_is_refused(
    fetch: Callable[[str], bytes], host: Host, resolved: list[list[str]], addresses: list[str]
) -> None:
    resolved.append(addresses)
    with pytest.raises(ServiceError, match="private network"):
        fetch(f"http://{NAME}:{host.port}/p.jpg")
    assert host.asked == []


def test_a_redirect_is_checked_as_the_first_address_was(
    fetch: Callable[[str], bytes], host: Host, resolved: list[list[str]]
) -> None:
    host.answers |= {
        "/away": (302, {"Location": f"http://{PRIVATE}:{host.port}/p.jpg"}, b""),
        "/moved": (301, {"Location": f"http://img.cdn.example:{host.port}/p.jpg"}, b""),
        "/round": (302, {"Location": "/round"}, b""),
        "/p.jpg": (200, {}, PICTURE),
    }
    resolved += [[PUBLIC], [PUBLIC], [PRIVATE], [PUBLIC], [PUBLIC]] + [[PUBLIC]] * 4
    with pytest.raises(ServiceError, match="not fetched from"):
        fetch(f"http://{NAME}:{host.port}/away")
    with pytest.raises(ServiceError, match="private network"):
        fetch(f"http://{NAME}:{host.port}/moved")
    assert fetch(f"http://{NAME}:{host.port}/moved") == PICTURE
    with pytest.raises(ServiceError, match="at most 3 redirects"):
        fetch(f"http://{NAME}:{host.port}/round")


def test_what_is_no_picture_of_the_right_size_is_refused(
    fetch: Callable[[str], bytes], host: Host, resolved: list[list[str]]
) -> None:
    host.answers["/large"] = (200, {}, bytes(2000))
    resolved += [[PUBLIC], [PUBLIC]]
    with pytest.raises(ServiceError) as caught:
        fetch(f"http://{NAME}:{host.port}/large")
    assert caught.value.code == 413
    with pytest.raises(ServiceError, match="status 404"):
        fetch(f"http://{NAME}:{host.port}/missing")


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example/p.jpg",
        f"http://not{NAME}/p.jpg",
        f"http://{NAME}.evil.example/p.jpg",
        f"http://user@{NAME}/p.jpg",
        "http://127.0.0.1/p.jpg",
        "http://[::1]/p.jpg",
        "http:///p.jpg",
        "http://[/p.jpg",
    ],
)
def test_other_hosts_are_not_asked(fetch: Callable[[str], bytes], url: str) -> None:
    with pytest.raises(ServiceError, match="data URI"):
        fetch(url)


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("scheme", "begin", "drop"),
    [
        ("http", b"", b""),
        ("https", b"\x16\x03\x03\x3f\xff", b"x"),
        ("http", HEAD + b"X: ", b"x"),
        ("http", HEAD + b"Content-Length: 900\r\n\r\n", b"x"),
        ("http", CHUNKS, b"0"),
    ],
    ids=["silence", "handshake", "head", "body", "length of a chunk"],
)
def test_a_host_that_is_slow_or_trickles_is_given_up(
    fetch: Callable[[str], bytes],
    resolved: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    begin: bytes,
    drop: bytes,
) -> None:
    """A host that sends a byte at a time, each well before the end, for longer than it may."""
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.2)
    resolved.append([PUBLIC])
    ended = threading.Event()

    def trickle() -> None:
        connection, _ = slow.accept()
        with connection, contextlib.suppress(ConnectionError):
            connection.sendall(begin)
            while not ended.wait(0.02):
                connection.sendall(drop)

    with socket.create_server((PUBLIC, 0)) as slow:
        host = threading.Thread(target=trickle)
        host.start()
        try:
            with pytest.raises(ServiceError, match="too slow"):
                fetch(f"{scheme}://{NAME}:{slow.getsockname()[1]}/p.jpg")
        finally:
            ended.set()
            host.join()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", b"SSH-2.0"]
)
def test_half_a_picture_and_what_is_no_http_are_refused(
    fetch: Callable[[str], bytes], resolved: list[list[str]], answer: bytes
) -> None:
    resolved.append([PUBLIC])

    def send() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(answer)

    with socket.create_server((PUBLIC, 0)) as server:
        threading.Thread(target=send).start()
        with pytest.raises(ServiceError, match="could not be reached"):
            fetch(f"http://{NAME}:{server.getsockname()[1]}/p.jpg")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert fetching.is_public(address) is public
