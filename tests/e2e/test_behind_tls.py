"""The page behind the proxies of the documentation, with certificates that they or we sign."""

from __future__ import annotations

import contextlib
import getpass
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import requests
import uvicorn

from tests.deploy.observed import program
from tests.e2e.client import COFFEE, TIMEOUT_S, jpeg
from tests.e2e.conftest import ROOT, Service, free_ports, wait_for
from webui import create_app
from webui.server.run import configuration

NAME = "captions.localhost"  # resolved to this machine, whatever is asked
CADDYFILE = ROOT / "deploy" / "machine" / "Caddyfile"
NOISE = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), np.uint8)
LARGE = jpeg(NOISE)  # more than nginx's own limit of 1 MiB

pytestmark = pytest.mark.slow


@dataclass
class Proxy:
    """Where it is, whose certificate it has, and where it listens without TLS."""

    url: str
    authority: Path
    plain: str | None = None

    def session(self) -> requests.Session:
        made = requests.Session()
        made.trust_env, made.verify = False, str(self.authority)
        return made


@contextlib.contextmanager
def page_of(service: Service) -> Iterator[int]:
    """A page's port that counts a proxy, over the shared service's TorchServe."""
    app = create_app(
        {
            "INFERENCE_URL": service.inference_url,
            "MANAGEMENT_URL": service.management_url,
            "KEY_FILE": service.run_dir / "key_file.json",
            "TRUSTED_HOSTS": NAME,
            "PROXIES": "1",
            "RATE_LIMIT": "8 per hour",
        }
    )
    server = uvicorn.Server(configuration(app, app.extensions["settings"].max_body_bytes))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = Thread(target=server.run, args=([listener],))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(20)


def caddy(folder: Path, page: int) -> Iterator[Proxy]:
    """The Caddyfile as it is; before it only what keeps Caddy off this machine's own places."""
    secure, plain = free_ports(2)
    own = f"{{\n\tadmin off\n\tskip_install_trust\n\thttp_port {plain}\n\thttps_port {secure}\n}}\n"
    (folder / "Caddyfile").write_text(own + CADDYFILE.read_text(encoding="utf-8"))
    environ = {
        **{"CAPTIONIZE_NAME": NAME, "CAPTIONIZE_UPSTREAM": f"127.0.0.1:{page}"},
        **{"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
    }
    command = [str(program("caddy", "caddy")), "run", "--config", "Caddyfile"]
    authority = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    with running(command, folder, environ, secure):
        wait_for(authority.exists, 20)
        yield Proxy(f"https://{NAME}:{secure}", authority, f"http://{NAME}:{plain}")


def nginx(folder: Path, page: int) -> Iterator[Proxy]:
    """The `location` of docs/serving.md in a server with a certificate signed by itself."""
    if not (binary := shutil.which("nginx", path="/usr/sbin:/usr/bin")):
        pytest.skip("nginx is not installed")
    (secure,) = free_ports(1)
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    (location,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    assert "127.0.0.1:8000" in location
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", "key.pem", "-out", "cert.pem", "-subj", f"/CN={NAME}"),
            *("-addext", f"subjectAltName=DNS:{NAME}"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        # As root, its workers would be nobody, who cannot write here.
        f"user {getpass.getuser()};\ndaemon off;\npid {folder}/pid;\n"
        f"error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}server {{\nlisten 127.0.0.1:{secure} ssl;\n"
        f"server_name {NAME};\nssl_certificate {folder}/cert.pem;\n"
        f"ssl_certificate_key {folder}/key.pem;\n"
        f"{location.replace('127.0.0.1:8000', f'127.0.0.1:{page}')}}}\n}}\n"
    )
    command = [binary, "-p", str(folder), "-c", "nginx.conf"]
    with running(command, folder, {}, secure):
        yield Proxy(f"https://{NAME}:{secure}", folder / "cert.pem")


@contextlib.contextmanager
def running(command: list[str], folder: Path, environ: dict[str, str], port: int) -> Iterator[None]:
    """Run a proxy from when it completes a handshake."""
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=output, stderr=subprocess.STDOUT
        )
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def answers() -> bool:
        assert process.poll() is None, (folder / "output").read_text()
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), 2) as one:
                context.wrap_socket(one, server_hostname=NAME).close()
            return True
        return False

    try:
        wait_for(answers, 20)
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module", params=[caddy, nginx], ids=["caddy", "nginx"])
def proxy(
    request: pytest.FixtureRequest, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp(request.param.__name__)
    with page_of(service) as page, contextlib.contextmanager(request.param)(folder, page) as one:
        yield one


@pytest.fixture(autouse=True)
def by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the name lead to this machine, where the resolver does not know it."""
    found = socket.getaddrinfo

    def resolve(host: str, *rest: object) -> object:
        return found("127.0.0.1" if host == NAME else host, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_a_large_picture_is_captioned_through_tls(proxy: Proxy) -> None:
    assert len(LARGE) > 2**20
    for picture in (COFFEE, LARGE):
        answer = proxy.session().post(
            f"{proxy.url}/api/captions", files={"image": picture}, timeout=TIMEOUT_S
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["caption"]


def test_the_session_s_cookie_is_for_tls_alone(proxy: Proxy) -> None:
    session = proxy.session()
    answer = session.get(f"{proxy.url}/", timeout=TIMEOUT_S)
    assert answer.status_code == 200
    cookies = list(session.cookies)
    assert cookies
    assert all(cookie.secure for cookie in cookies)


def test_a_client_cannot_choose_where_the_page_is(proxy: Proxy) -> None:
    headers = {"X-Forwarded-Host": "elsewhere.example", "X-Forwarded-Prefix": "/elsewhere"}
    answer = proxy.session().get(f"{proxy.url}/", headers=headers, timeout=TIMEOUT_S)
    assert answer.status_code == 200, answer.text
    assert "elsewhere" not in answer.text


def test_a_client_cannot_choose_the_address_that_it_is_counted_by(proxy: Proxy) -> None:
    url = f"{proxy.url}/api/votes"
    codes = [
        proxy.session()
        .post(url, headers={"X-Forwarded-For": f"192.0.2.{n}"}, json={}, timeout=TIMEOUT_S)
        .status_code
        for n in range(12)
    ]
    assert codes[-1] == 429


def test_caddy_leads_to_tls_and_keeps_figures_to_the_machine(proxy: Proxy) -> None:
    if proxy.plain is None:
        pytest.skip("the documentation's nginx has no such lines")
    moved = proxy.session().get(f"{proxy.plain}/", allow_redirects=False, timeout=TIMEOUT_S)
    assert moved.status_code == 308
    assert moved.headers["Location"].startswith(f"https://{NAME}")
    assert proxy.session().get(f"{proxy.url}/metrics", timeout=TIMEOUT_S).status_code == 404
    forged = {"X-Forwarded-Prefix": "/elsewhere"}
    answer = proxy.session().get(f"{proxy.url}/", headers=forged, timeout=TIMEOUT_S)
    assert "/elsewhere" not in answer.text
