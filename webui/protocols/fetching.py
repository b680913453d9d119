"""Pictures on other hosts, where the operator lists these hosts.

Whoever may name an address could otherwise have this machine ask what only it can reach. So a name
is resolved once, all its addresses must be public ones, and the connection goes to one of these and
to no other: what the name resolves to a moment later does not matter.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import socket
import ssl
import time
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import certifi

from webui.web.extensions import service
from webui.web.problem import ServiceError, too_large
from webui.web.settings import Settings

TIMEOUT_S = 10.0  # for the whole picture, with its redirects; finding names has the system's own
REDIRECTS = 3
SAFE = "%/?:@!$&'()*+,;=~"  # in an address: escaped already, or with a meaning there
PORTS = {"http": 80, "https": 443}
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotFetched(ServiceError):
    """A picture that is elsewhere and stays there."""

    code = 400
    type = "PictureElsewhere"


def fetch(url: str) -> bytes:
    """The picture at this address. Raises ServiceError."""
    give_up = time.monotonic() + TIMEOUT_S
    try:
        for _ in range(1 + REDIRECTS):
            with contextlib.closing(_open(_checked(url), give_up)) as response:
                location = response.headers.get("Location")
                if response.status in (301, 302, 303, 307, 308) and location:
                    url = urljoin(url, location)
                    continue
                if response.status != 200:
                    raise NotFetched(
                        f"Expected the picture, got status {response.status} from its host. "
                        "Send the picture itself, as a data URI."
                    )
                return _read(response)
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise NotFetched(
            "The picture's host could not be reached, or was too slow. Send the picture itself, "
            "as a data URI."
        ) from error
    raise NotFetched(f"Expected at most {REDIRECTS} redirects, got more. Give the last address.")


def _checked(url: str) -> SplitResult:
    """The parts of an address on a listed host. Raises NotFetched, ValueError."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower().rstrip(".")
    hosts = service(Settings).picture_hosts
    listed = any(host == one or one.startswith(".") and f".{host}".endswith(one) for one in hosts)
    if not listed or parts.scheme not in PORTS or parts.username is not None:
        raise NotFetched(
            "Expected the picture itself as a data URI such as data:image/jpeg;base64,…, got an "
            "address on a host that pictures are not fetched from. Send the picture; or the "
            "operator lists the host in CAPTIONIZE_PICTURE_HOSTS."
        )
    return parts


class _Timed(io.RawIOBase):
    """A connection that is given up at one moment, however little its other end sends at a time."""

    def __init__(self, connected: socket.socket, give_up: float) -> None:
        self._socket, self._give_up = connected, give_up

    def _wait_no_longer(self) -> None:
        self._socket.settimeout(_left(self._give_up))

    def encrypt(self, host: str) -> None:
        """Go on under TLS, with a certificate for this name."""
        self._wait_no_longer()
        context = ssl.create_default_context(cafile=certifi.where())
        self._socket = context.wrap_socket(self._socket, server_hostname=host)

    def send(self, head: str) -> None:
        """Send a request."""
        self._wait_no_longer()
        self._socket.sendall(head.encode("ascii"))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._wait_no_longer()
        return self._socket.recv_into(buffer)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def close(self) -> None:
        self._socket.close()
        super().close()


def _left(give_up: float) -> float:
    """Seconds until then. Raises TimeoutError."""
    if (left := give_up - time.monotonic()) <= 0:
        raise TimeoutError
    return left


def _open(parts: SplitResult, give_up: float) -> http.client.HTTPResponse:
    """Ask one of the host's public addresses, and follow nowhere."""
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    address = _public(host, port)[0]
    timed = _Timed(socket.create_connection((address, port), _left(give_up)), give_up)
    try:
        if parts.scheme == "https":
            timed.encrypt(host)
        path = quote(f"{parts.path or '/'}{parts.query and '?'}{parts.query}", SAFE)
        timed.send(
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: image/*\r\n"
            "Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
        )
        response = http.client.HTTPResponse(timed)  # type: ignore[arg-type]  # a file is all it asks
        response.begin()
        return response
    except BaseException:
        timed.close()
        raise


def _public(host: str, port: int) -> list[str]:
    """The addresses that the name has now. Raises NotFetched where one of them is not public."""
    found = [str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not found or not all(map(is_public, found)):
        raise NotFetched(
            "The picture's host is in a private network, which pictures are not fetched from. "
            "Send the picture itself, as a data URI."
        )
    return found


def is_public(text: str) -> bool:
    """Whether an address leads out of this machine and of every private network."""
    try:
        address: Address = ipaddress.ip_address(text)
    except ValueError:  # with a zone, as link-local ones have
        return False
    within: Address | None = None
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            within = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    parts = [one for one in (address if address not in NAT64 else None, within) if one]
    return all(one.is_global and not one.is_multicast for one in parts)


def _read(response: http.client.HTTPResponse) -> bytes:
    """The body, up to the limit of a picture. Raises ServiceError, HTTPException."""
    limit = service(Settings).max_upload_bytes
    picture = response.read(limit + 1)
    if len(picture) > limit:
        raise too_large(limit)
    if response.length:
        raise http.client.IncompleteRead(picture, response.length)
    return picture
