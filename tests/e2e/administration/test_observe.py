"""Prometheus over the running service: every metric that is asked for exists, every rule runs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.deploy import observed
from tests.e2e.client import COFFEE
from tests.e2e.conftest import Service, free_ports

WAIT_S = 60


@pytest.fixture
def captioned(service: Service) -> Service:
    """The service once it has captioned: some counters are only there then."""
    files = {"image": ("coffee.jpg", COFFEE)}
    answer = requests.post(f"{service.page_url}/api/captions", files=files, timeout=30)
    assert answer.status_code == 200
    return service


def test_every_metric_that_is_asked_for_exists(captioned: Service) -> None:
    asked = [*observed.panel_expressions(), *(rule["expr"] for rule in observed.rules())]
    names = set().union(*map(observed.metric_names, asked))
    assert {"captionize_captions_total", "ts_inference_requests_total"} <= names
    wait_for(lambda: names <= exported(captioned), lambda: names - exported(captioned))


def exported(service: Service) -> set[str]:
    """What both /metrics have: samples, and counters that are declared and have none yet."""
    found = set()
    for url in (service.page_url, service.metrics_url):
        for line in requests.get(f"{url}/metrics", timeout=10).text.splitlines():
            declared = line.startswith("# TYPE ")
            if declared or not line.startswith("#"):
                found.add(line.split()[2] if declared else line.split("{")[0].split()[0])
    return found


@pytest.fixture
def prometheus(captioned: Service, tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus with the shipped configuration over the running service."""
    config = (observed.OBSERVE / "prometheus.yml").read_text()
    for there, here in (
        ("web:8000", captioned.page_url.removeprefix("http://")),
        ("captioner:8082", captioned.metrics_url.removeprefix("http://")),
        ("alerts.yml", str(observed.OBSERVE / "alerts.yml")),
        ("15s", "1s"),
    ):
        assert there in config
        config = config.replace(there, here)
    (tmp_path / "prometheus.yml").write_text(config)
    [port] = free_ports(1)
    command = [
        str(observed.program("prometheus")),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    yield f"http://127.0.0.1:{port}/api/v1"
    process.terminate()
    process.wait(30)


@pytest.mark.slow
def test_prometheus_reaches_both_and_runs_every_rule_and_panel(prometheus: str) -> None:
    def ask(path: str, **query: str) -> Any:
        try:
            return requests.get(f"{prometheus}/{path}", query, timeout=10).json()["data"]
        except (OSError, KeyError, ValueError):
            return {}

    def targets() -> dict[str, str]:
        active = ask("targets").get("activeTargets", [])
        return {one["labels"]["job"]: one["health"] for one in active}

    def rules() -> dict[str, tuple[str, str]]:
        groups = ask("rules").get("groups", [])
        return {r["name"]: (r["health"], r["state"]) for group in groups for r in group["rules"]}

    wait_for(lambda: targets() == {"captionize": "up", "torchserve": "up"}, targets)
    well = {rule["alert"]: ("ok", "inactive") for rule in observed.rules()}
    wait_for(lambda: rules() == well, rules)
    for expression in observed.panel_expressions():
        assert ask("query", query=expression)["resultType"] == "vector", expression
    ready = 'sum(captionize_ready_workers{default="true"})'
    assert ask("query", query=ready)["result"][0]["value"][1] == "1"


def wait_for(condition: Callable[[], bool], found: Callable[[], object]) -> None:
    give_up = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up, found()
        time.sleep(0.2)
