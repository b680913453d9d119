"""Pictures on other hosts, where the operator lists these hosts.

Whoever may name an address could otherwise have this machine ask what only it can reach. So a name
is resolved once, all its addresses must be public ones, and the connection goes to one of these and
to no other: what the name resolves to a moment later does not matter.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from urllib.parse import SplitResult, urljoin, urlsplit

import certifi
import urllib3

from webui.web.extensions import service
from webui.web.problem import ServiceError, too_large
from webui.web.settings import Settings

TIMEOUT_S = 10.0  # for the whole picture, with its redirects
REDIRECTS = 3
CHUNK = 64 * 1024
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
            response = _open(_checked(url), give_up - time.monotonic())
            try:
                location = response.headers.get("Location")
                if response.status in (301, 302, 303, 307, 308) and location:
                    url = urljoin(url, location)
                    continue
                if response.status != 200:
                    raise NotFetched(
                        f"Expected the picture, got status {response.status} from its host. "
                        "Send the picture itself, as a data URI."
                    )
                return _read(response, give_up)
            finally:
                response.close()
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
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


def _open(parts: SplitResult, timeout_s: float) -> urllib3.BaseHTTPResponse:
    """Ask one of the host's public addresses, and follow nowhere."""
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    address = _public(host, port)[0]
    timeout = urllib3.Timeout(total=max(timeout_s, 0.001))
    if parts.scheme == "https":
        pool: urllib3.HTTPConnectionPool = urllib3.HTTPSConnectionPool(
            address, port, timeout=timeout, retries=False, ca_certs=certifi.where(),
            server_hostname=host, assert_hostname=host,
        )  # fmt: skip
    else:
        pool = urllib3.HTTPConnectionPool(address, port, timeout=timeout, retries=False)
    path = parts.path or "/"
    return pool.urlopen(
        "GET",
        f"{path}?{parts.query}" if parts.query else path,
        headers={"Host": parts.netloc, "Accept": "image/*", "Accept-Encoding": "identity"},
        redirect=False,
        preload_content=False,
    )


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


def _read(response: urllib3.BaseHTTPResponse, give_up: float) -> bytes:
    """The body, up to the limit of a picture and within the time."""
    limit = service(Settings).max_upload_bytes
    picture = b""
    # Each time what has come, however little: a host that trickles must not have all day.
    while chunk := response.read1(CHUNK, decode_content=False):
        picture += chunk
        if len(picture) > limit:
            raise too_large(limit)
        if time.monotonic() > give_up:
            raise TimeoutError
    return picture
