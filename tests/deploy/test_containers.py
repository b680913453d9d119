"""compose.yaml for real: brought up, captioning, crashed and back, and gone without a trace."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.deploy.engine import has, run, wait
from tests.e2e.client import COFFEE
from tests.e2e.conftest import ROOT, free_ports
from tests.shipped import ARCHIVE, VERSION
from tests.torture.stage import SECOND, SECOND_VERSION, second_version
from tests.webui.administration import BEARER, TOKEN

PROJECT = "captionize-test"
# A container of another network: it reaches the page at its published port, and nothing else.
STRANGER = """
import socket, sys
for host, port in [("web", 8000), *((name, port) for name in ("torchserve", "captioner")
                                    for port in (7070, 7071, 8080, 8081, 8082))]:
    try:
        socket.create_connection((host, port), 3).close()
        print(host, port)
    except OSError:
        pass
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # building takes minutes


class Compose:
    """The services of compose.yaml, with a model store of their own that the page may write."""

    def __init__(self, folder: Path) -> None:
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._environ = {"CAPTIONIZE_PORT": str(port), "CAPTIONIZE_ADMIN_TOKEN": TOKEN}
        self.store = folder / "model_store"
        self.store.mkdir()
        self.store.chmod(0o777)
        shutil.copy(ARCHIVE, self.store)
        shutil.copy(ROOT / "config.properties", folder)
        command = ["docker", "compose"] if has("docker", "compose", "version") else []
        self._compose = [
            *(command or ["docker-compose"]),
            *("--file", str(ROOT / "compose.yaml")),
            *("--project-directory", str(folder), "--project-name", PROJECT),
        ]

    def __call__(self, *words: str) -> str:
        return run(*self._compose, *words, **self._environ)

    def admin(self, *words: str) -> str:
        """A command of the administrator's, over the published port."""
        admin = (sys.executable, "-m", "webui.admin", "--url", self.url)
        return run(*admin, *words, **self._environ)

    def state(self, service: str) -> dict[str, Any]:
        """What the engine says of a service's container."""
        [container] = self("ps", "--quiet", service).split()
        [found] = json.loads(run("docker", "inspect", container))
        return {"id": container, "restarts": found["RestartCount"], **found["State"]}

    def is_healthy(self, service: str) -> bool:
        return bool(self.state(service).get("Health", {}).get("Status") == "healthy")

    def captions(self) -> str:
        """The version that captions a photo, "" where none does."""
        try:
            answer = requests.post(
                f"{self.url}/api/captions", files={"image": ("coffee.jpg", COFFEE)}, timeout=60
            )
        except requests.ConnectionError:
            return ""
        return str(answer.json()["model"]["version"]) if answer.ok else ""

    def versions(self) -> dict[str, bool]:
        """Each version that is served, and whether it is the default."""
        models = requests.get(f"{self.url}/api/models", headers=BEARER, timeout=60).json()["models"]
        return {one["version"]: one["default"] for one in models[0]["versions"]}


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Compose]:
    compose = Compose(tmp_path_factory.mktemp("compose"))
    try:
        compose("up", "--detach", "--no-build")
        for service in ("torchserve", "web"):
            wait(f"{service} is healthy", lambda name=service: compose.is_healthy(name))
        yield compose
    finally:
        compose("down", "--volumes", "--timeout", "30")


def left_over() -> list[str]:
    """What the engine still has of the project."""
    of_project = f"label=com.docker.compose.project={PROJECT}"
    return [
        one
        for kind in (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
        for one in run("docker", *kind, "--quiet", "--filter", of_project).split()
    ]


def test_what_was_made_the_default_outlives_a_crash_of_each_part(
    compose: Compose,
) -> None:
    assert compose.captions() == VERSION
    second_version(compose.store.parent / SECOND)
    compose.admin("upload", str(compose.store.parent / SECOND))
    compose.admin("register", SECOND)
    compose.admin("default", "captioner", SECOND_VERSION)
    served = {VERSION: False, SECOND_VERSION: True}
    assert compose.versions() == served

    for service in ("torchserve", "web"):
        before = compose.state(service)
        # `docker kill` is taken for a person's wish, after which it is not started again.
        compose("exec", "-T", service, "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")
        wait(f"{service} is started again", lambda: compose.state(service)["restarts"])  # noqa: B023
        wait(f"{service} captions", lambda: compose.captions() == SECOND_VERSION)
        wait(f"{service} is healthy", lambda: compose.is_healthy(service))  # noqa: B023
        assert compose.state(service)["Pid"] != before["Pid"]
        assert compose.versions() == served

    compose("restart")
    wait("all captions after a restart", lambda: compose.captions() == SECOND_VERSION)
    assert compose.versions() == served


def test_nothing_but_the_page_is_reached_from_another_network(compose: Compose, image: str) -> None:
    stranger = ("docker", "run", "--rm", "--network", f"{PROJECT}_outside", image)
    assert run(*stranger, "python", "-c", STRANGER).split("\n")[:-1] == ["web 8000"]
    published = run("docker", "ps", "--filter", f"name={PROJECT}", "--format", "{{.Ports}}")
    assert [line for line in published.splitlines() if "->" in line] == [
        f"127.0.0.1:{compose.url.rpartition(':')[2]}->8000/tcp"
    ]


def test_the_containers_write_nowhere_but_in_their_volumes(compose: Compose) -> None:
    script = "for x in /app /opt/venv /etc; do touch $x/x 2>/dev/null && echo $x; done; id -u"
    for service in ("torchserve", "web"):
        assert compose("exec", "-T", service, "sh", "-c", script).split() == ["10001"]
    compose("exec", "-T", "web", "test", "-s", "/opt/venv/sbom.json")


def test_it_is_taken_down_without_a_trace(compose: Compose) -> None:
    assert left_over()
    compose("down", "--volumes", "--timeout", "30")
    assert left_over() == []
