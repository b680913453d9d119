"""Clients that stall and clients that trickle, beside one that wants captions.

python -m tests.torture.slow --url http://127.0.0.1:8000 --seconds 60
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from statistics import quantiles
from urllib.parse import urlsplit

import requests

from tests.torture.clients import PICTURE
from webui.server.connection import most_connections

HEAD = (
    b"POST /api/captions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
)
STALLS = (b"", HEAD[:40], HEAD, HEAD + b"--b\r\n" + bytes(50))  # after which nothing comes


class SlowClients:
    """So many connections that stall and so many that send a byte a second; cut off, they return.

    Each stall is at one of four places, from before the first byte to within the body; half of the
    others trickle their head, half their body.
    """

    def __init__(self, url: str, stalled: int, trickling: int) -> None:
        most_connections()  # for this process, too
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._stalled: list[socket.socket | None] = [None] * stalled
        self._trickling: list[socket.socket | None] = [None] * trickling
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.connected = threading.Event()
        self.cut_off = 0

    def __enter__(self) -> SlowClients:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def open(self) -> int:
        """How many are connected just now."""
        return sum(one is not None for one in (*self._stalled, *self._trickling))

    def _run(self) -> None:
        while not self._stop.is_set():
            for number, one in enumerate(self._stalled):
                self._stalled[number] = self._alive(one) or self._connect(STALLS[number % 4])
            for number, one in enumerate(self._trickling):
                known = self._alive(one)
                if known is not None:
                    with contextlib.suppress(OSError):
                        known.send(b"a")
                self._trickling[number] = known or self._connect(HEAD if number % 2 else HEAD[:60])
            self.connected.set()
            self._stop.wait(1)
        for one in (*self._stalled, *self._trickling):
            if one is not None:
                one.close()

    def _alive(self, one: socket.socket | None) -> socket.socket | None:
        """The connection, None where the server has answered or closed it."""
        if one is None:
            return None
        try:
            one.recv(4096)
        except BlockingIOError:
            return one
        except OSError:
            pass
        one.close()
        self.cut_off += 1
        return None

    def _connect(self, sent: bytes) -> socket.socket | None:
        try:
            one = socket.create_connection(self._address, timeout=5)
            one.sendall(sent)
            one.setblocking(False)
            return one
        except OSError:
            return None


def captions(url: str, seconds: float, picture: bytes) -> Iterator[tuple[int, float]]:
    """Status and seconds of one caption after another."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        begun = time.monotonic()
        files = {"image": ("p.jpg", picture)}
        answer = requests.post(f"{url}/api/captions", files=files, timeout=30)
        yield answer.status_code, time.monotonic() - begun
        time.sleep(0.11)  # below 600 a minute, the rate limit


def main() -> None:
    """Run it and print a line of figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=500, help="of each kind")
    options = parser.parse_args()
    with SlowClients(options.url, options.clients, options.clients) as slow:
        slow.connected.wait(60)
        answers = list(captions(options.url, options.seconds, PICTURE.read_bytes()))
    times = sorted(seconds for _, seconds in answers)
    p50, p99 = (quantiles(times, n=100)[cut] for cut in (49, 98))
    codes = dict(Counter(code for code, _ in answers))
    print(
        f"{len(times)} captions {codes}: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, "
        f"longest {times[-1] * 1000:.0f} ms; {slow.cut_off} slow connections cut off"
    )


if __name__ == "__main__":
    main()
