"""Two pages, each with a TorchServe of its own, behind a real nginx, sharing a real Redis."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import redis_server
from tests.e2e.administration.conftest import archive
from tests.e2e.client import COFFEE
from tests.e2e.conftest import Service, free_ports, wait_for
from tests.redis_server import RedisServer
from tests.webui.administration import BEARER, HASH, PASSWORD, TOKEN

pytestmark = pytest.mark.slow  # short forms: tests/webui/web/test_shared.py

WAIT_S = 60
LIMIT = 40  # uploads an hour, so that no window ends within a test
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/a; uwsgi_temp_path {folder}/b; scgi_temp_path {folder}/c;
  client_max_body_size 20m;
  upstream pages {{ server 127.0.0.1:{ports[0]}; server 127.0.0.1:{ports[1]}; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://pages;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      add_header X-Page $upstream_addr always;
    }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, pages: list[Service]) -> Iterator[str]:
    """nginx, which gives requests to the pages in turn; its address."""
    program = shutil.which("nginx") or pytest.skip("needs Debian's nginx")
    [port] = free_ports(1)
    ports = [page.environ["CAPTIONIZE_PORT"] for page in pages]
    folder.mkdir()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, ports=ports, port=port))
    process = subprocess.Popen([program, "-e", folder / "error.log", "-c", folder / "nginx.conf"])
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


@dataclass
class Fleet:
    """Both pages, and what is in front of and behind them."""

    url: str
    pages: list[Service]
    redis: RedisServer

    def admin(self, method: str, path: str, body: object = None, page: int | None = None) -> Any:
        """An answer's JSON, of the page or of either."""
        url = self.url if page is None else self.pages[page].page_url
        answer = requests.request(method, f"{url}/api{path}", json=body, headers=BEARER, timeout=30)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def caption(self, **headers: str) -> requests.Response:
        files = {"image": ("p.jpg", COFFEE)}
        url = f"{self.url}/api/captions"
        return requests.post(url, files=files, headers=headers, timeout=30)

    def served(self, page: int) -> list[tuple[str, int, bool]]:
        """Version, workers that are ready and whether it is the default."""
        [model] = self.admin("GET", "/models", page=page)["models"]
        return [
            (v["version"], sum(w["state"] == "READY" for w in v["workers"]), v["default"])
            for v in model["versions"]
        ]

    def both_serve(self, *expected: tuple[str, int, bool]) -> None:
        """Wait until both do, and no job is at work any more."""

        def so() -> bool:
            working = [one["state"] for one in self.admin("GET", "/jobs")["jobs"]]
            served = [self.served(page) for page in (0, 1)]
            return "running" not in working and served == [list(expected)] * 2

        wait_for(so, WAIT_S)

    def done(self, job: dict[str, Any]) -> None:
        """Wait for a job, at whichever page."""
        wait_for(lambda: self.admin("GET", f"/jobs/{job['id']}")["state"] != "running", WAIT_S)
        assert self.admin("GET", f"/jobs/{job['id']}")["state"] == "done"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server.running())
        pages = [page(folder / name, redis) for name in ("one", "two")]
        url = stack.enter_context(nginx(folder / "nginx", pages))
        for one in pages:
            stack.callback(one.start().stop)
        yield Fleet(url, pages, redis)


def page(folder: Path, redis: RedisServer) -> Service:
    """A page with a TorchServe, with archives of its own that start fast."""
    archive(folder / "store" / "captioner.mar", "1.0")
    archive(folder / "store" / "second.mar", "2.0")
    environ = {
        "CAPTIONIZE_MODEL_STORE": str(folder / "store"),
        "CAPTIONIZE_SHARED_STORE": redis.url,
        "CAPTIONIZE_SECRET_KEY": "a secret of both pages",
        "CAPTIONIZE_ADMIN_PASSWORD_HASH": HASH,
        "CAPTIONIZE_ADMIN_TOKEN": TOKEN,
        "CAPTIONIZE_RATE_LIMIT": f"{LIMIT} per hour",
        "CAPTIONIZE_PROXIES": "1",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    return Service(folder / "run", environ)


def form_token(text: str) -> str:
    found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', text)
    assert found, text
    return found[1]


class Visitor:
    """A browser's requests through nginx, and the pages that answered them."""

    def __init__(self, fleet: Fleet) -> None:
        self.url, self.session, self.met = fleet.url, requests.Session(), set[str]()

    def __call__(self, method: str, path: str, **more: Any) -> requests.Response:
        # A connection of its own, and so the other page, each time.
        headers = {**more.pop("headers", {}), "Connection": "close"}
        answer = self.session.request(
            method, f"{self.url}{path}", headers=headers, timeout=30, **more
        )
        self.met.add(answer.headers["X-Page"])
        return answer

    def log_in(self, password: str = PASSWORD) -> requests.Response:
        form = {"csrf_token": form_token(self("GET", "/login").text), "password": password}
        return self("POST", "/login", data=form, allow_redirects=False)


def test_a_log_in_is_one_at_both(fleet: Fleet) -> None:
    visitor = Visitor(fleet)
    assert visitor.log_in().status_code == 303
    token = form_token(visitor("GET", "/versions").text)
    for _ in range(4):
        assert visitor("GET", "/api/models").status_code == 200
        unsafe = visitor("DELETE", "/api/canary", headers={"X-CSRFToken": "made up"})
        assert unsafe.json()["type"] == "FormExpired"
        assert visitor("DELETE", "/api/canary", headers={"X-CSRFToken": token}).status_code == 200
    copied = visitor.session.cookies.copy()
    assert len(visitor.met) == 2
    visitor("POST", "/logout", data={"csrf_token": token})
    visitor.session.cookies = copied
    assert [visitor("GET", "/api/models").status_code for _ in "1234"] == [401] * 4


def test_changes_reach_both(fleet: Fleet) -> None:
    fleet.both_serve(("1.0", 1, True))
    fleet.done(fleet.admin("POST", "/models", {"archive": "second.mar"}))
    fleet.both_serve(("1.0", 1, True), ("2.0", 1, False))
    fleet.done(fleet.admin("PUT", "/models/captioner/2.0/workers", {"workers": 2}))
    fleet.both_serve(("1.0", 1, True), ("2.0", 2, False))
    fleet.admin("PUT", "/models/captioner/2.0/default")
    fleet.both_serve(("1.0", 1, False), ("2.0", 2, True))
    fleet.admin("POST", "/models/captioner/rollback")
    fleet.both_serve(("1.0", 1, True), ("2.0", 2, False))
    fleet.done(fleet.admin("PUT", "/models/captioner/2.0/workers", {"workers": 1}))
    fleet.both_serve(("1.0", 1, True), ("2.0", 1, False))
    for number in (0, 1):
        actions = [one["action"] for one in fleet.admin("GET", "/audit", page=number)["audit"]]
        assert {"register", "scale", "default", "rollback", "restore"} <= set(actions)
        assert fleet.admin("GET", "/models", page=number)["lost"] == []


def test_the_canary_has_its_share_at_both(fleet: Fleet) -> None:
    fleet.admin("PUT", "/canary", {"version": "2.0", "share": 0.5})
    for number in (0, 1):
        assert fleet.admin("GET", "/canary", page=number)["share"] == 0.5
    visitor = Visitor(fleet)
    visitor("GET", "/")
    files = {"image": ("p.jpg", COFFEE)}
    made_by = {
        visitor("POST", "/api/captions", files=files).json()["model"]["version"] for _ in range(8)
    }
    assert len(made_by) == 1, "a visitor keeps to one version at both pages"
    assert len(visitor.met) == 2
    versions = [fleet.caption().json()["model"]["version"] for _ in range(16)]
    assert set(versions) == {"1.0", "2.0"}  # all the same once in 32,768 times
    for number in (0, 1):
        compared = fleet.admin("GET", "/canary", page=number)["compared"]
        assert sum(one["captions"] for one in compared) == 24, "of both pages"
    vote = {"left": "1.0", "right": "2.0", "winner": "right"}
    for _ in range(4):
        assert requests.post(f"{fleet.url}/api/votes", json=vote, timeout=30).status_code == 204
    for number in (0, 1):
        rows = fleet.admin("GET", "/canary", page=number)["compared"]
        assert [one["votes"]["won"] for one in rows] == [0, 4]


def test_limits_hold_for_both_together(fleet: Fleet) -> None:
    codes = [fleet.caption().status_code for _ in range(LIMIT + 5)]
    left = codes.index(429)
    assert codes == [200] * left + [429] * (len(codes) - left)
    for one in fleet.pages:  # nginx is the one proxy, whose word counts
        answer = requests.post(
            f"{one.page_url}/api/captions", headers={"X-Forwarded-For": "127.0.0.1"}, timeout=30
        )
        assert answer.status_code == 429
        assert 3000 < int(answer.headers["Retry-After"]) <= 3601


def test_guesses_are_counted_together(fleet: Fleet) -> None:
    codes = [Visitor(fleet).log_in("wrong").status_code for _ in range(8)]
    assert codes == [401] * 5 + [429] * 3


def test_redis_goes_and_comes_back(fleet: Fleet) -> None:
    before = fleet.served(0)
    fleet.redis.stop()
    for number in (0, 1):
        page = fleet.pages[number]
        url = f"{page.page_url}/api/captions"
        picture = {"image": ("p.jpg", COFFEE)}
        assert all(requests.post(url, files=picture, timeout=30).ok for _ in range(5))
        assert requests.get(f"{page.page_url}/readyz", timeout=30).ok
        refused = requests.put(
            f"{page.page_url}/api/models/captioner/2.0/default", headers=BEARER, timeout=30
        )
        assert (refused.status_code, refused.json()["type"]) == (503, "SharedStoreAway")
        assert int(refused.headers["Retry-After"]) > 0
        assert "does not answer" in fleet.admin("GET", "/models", page=number)["unsaved"]
    assert Visitor(fleet)("GET", "/login").status_code == 200
    fleet.redis.start()  # with nothing in it
    unsaved = lambda: [fleet.admin("GET", "/models", page=n)["unsaved"] for n in (0, 1)]  # noqa: E731
    wait_for(lambda: unsaved() == [None, None], WAIT_S)
    assert fleet.served(0) == fleet.served(1) == before
    for number in (0, 1):
        assert fleet.admin("GET", "/canary", page=number)["share"] == 0.5, "each page knew it"
    assert Visitor(fleet).log_in().status_code == 303


def test_a_page_that_starts_later_gets_the_same(fleet: Fleet) -> None:
    fleet.pages[1].stop()
    fleet.admin("PUT", "/models/captioner/2.0/default", page=0)
    fleet.admin("DELETE", "/models/captioner/1.0", page=0)
    shutil.rmtree(fleet.pages[1].run_dir)
    fleet.pages[1].start()
    fleet.both_serve(("2.0", 1, True))


def test_what_one_page_lacks_is_said_at_both(fleet: Fleet) -> None:
    only = Path(fleet.pages[0].environ["CAPTIONIZE_MODEL_STORE"])
    archive(only / "third.mar", "3.0")
    fleet.done(fleet.admin("POST", "/models", {"archive": "third.mar"}, page=0))

    def lost(page: int) -> list[str]:
        return [one["message"] for one in fleet.admin("GET", "/models", page=page)["lost"]]

    wait_for(lambda: bool(lost(0) and lost(1)), WAIT_S)
    [here], [there] = lost(1), lost(0)
    assert there.endswith(f":{fleet.pages[1].environ['CAPTIONIZE_PORT']}: {here}")
    assert fleet.served(0) == [("2.0", 1, True), ("3.0", 1, False)]
    assert fleet.served(1) == [("2.0", 1, True)]
