"""The Pod that kubectl renders for CPUs, run on a real engine as a kubelet does."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.deploy.engine import run, wait
from tests.deploy.kubelet import Pod
from tests.deploy.manifests import containers, gibibytes, one_of, pod, render
from tests.e2e.client import COFFEE

CLIENTS = 32  # four batches: some are under way whenever the page is told to end
# Which of the service's ports somebody reaches at an address.
REACHED = """
import socket, sys
for port in (7070, 7071, 8000, 8080, 8081, 8082):
    try:
        socket.create_connection((sys.argv[1], port), 3).close()
        print(port)
    except OSError:
        pass
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # building takes minutes


@pytest.fixture(scope="module")
def running(image: str) -> Iterator[Pod]:
    manifests = copy.deepcopy(render("cpu"))
    one_of("ConfigMap", manifests)["data"]["CAPTIONIZE_RATE_LIMIT"] = "100000 per minute"
    started = Pod("captionize-pod", manifests)
    assert {one["image"] for one in started.containers.values()} == {image}
    try:
        started.start()
        yield started
    finally:
        started.remove()


def caption(address: str) -> requests.Response:
    """What the page answers a client of the Service."""
    return requests.post(
        f"http://{address}:8000/api/captions",
        files={"image": ("coffee.jpg", COFFEE)},
        headers={"Host": "captionize"},
        timeout=60,
    )


def test_a_caption_comes_over_the_pages_port(running: Pod) -> None:
    answer = caption(running.address)
    assert answer.status_code == 200, answer.text
    assert answer.json()["caption"]


def test_every_probe_passes(running: Pod) -> None:
    theirs = containers(pod(render("kserve")))["kserve-container"] | {"name": "page"}
    asked = 0
    for one in [*running.containers.values(), theirs]:
        for kind in one.keys() & {"startupProbe", "readinessProbe", "livenessProbe"}:
            assert running.probe(one, kind), (one["name"], kind)
            asked += 1
    assert asked == 6


def test_captions_and_management_are_reached_from_inside_the_pod_alone(running: Pod) -> None:
    inside = running.execute("page", "python", "-c", REACHED, "127.0.0.1").split()
    assert {"8000", "8080", "8081", "8082"} <= set(inside)
    image = running.containers["page"]["image"]
    stranger = ("docker", "run", "--rm", "--network", running.name, image, "python", "-c", REACHED)
    assert run(*stranger, running.address).split() == ["8000", "8082"]


def test_prometheus_finds_the_metrics_of_both(running: Pod) -> None:
    captions = requests.get(f"http://{running.address}:8000/metrics", timeout=10)
    assert 'captionize_captions_total{outcome="captioned"' in captions.text
    inference = requests.get(f"http://{running.address}:8082/metrics", timeout=10)
    assert "ts_inference_requests_total" in inference.text


def test_the_page_can_share_a_store_with_others(running: Pod) -> None:
    asked = "from webui.web.shared import open_store; open_store('redis://127.0.0.1:1/0')"
    running.execute("page", "python", "-c", asked)  # fails where the image lacks Redis's client


def test_nothing_is_written_but_in_the_volumes_which_suffice(running: Pod) -> None:
    script = "for x in /app /opt/venv /etc /root; do touch $x/x 2>/dev/null && echo $x; done; id -u"
    for name in ("torchserve", "page"):
        assert running.execute(name, "sh", "-c", script).split() == ["10001"]
    page = "touch /run/captionize/x 2>/dev/null || echo refused"
    assert running.execute("page", "sh", "-c", page).split() == ["refused"]
    places = {
        mount["name"]: mount["mountPath"] for mount in running.containers["page"]["volumeMounts"]
    }
    for volume in running.spec["volumes"]:
        used = running.execute(
            "torchserve" if volume["name"] == "tmp" else "page", "du", "-sk", places[volume["name"]]
        )
        assert int(used.split()[0]) / 2**20 < gibibytes(volume["emptyDir"]["sizeLimit"]) / 2
    threads = running.execute("torchserve", "sh", "-c", "echo $OMP_NUM_THREADS")
    assert threads.strip() == running.containers["torchserve"]["resources"]["limits"]["cpu"]


@pytest.mark.parametrize("name", ["page", "torchserve"])
def test_a_container_that_dies_is_replaced(running: Pod, name: str) -> None:
    running.replace(name)
    wait("captions come again", lambda: caption(running.address).status_code == 200)


def test_a_pod_that_ends_answers_all_it_was_asked(running: Pod) -> None:
    """Requests come until just before the page's hook is over: by then the Service left it out."""
    hook_s = running.containers["page"]["lifecycle"]["preStop"]["sleep"]["seconds"]
    left_out = threading.Event()
    answered: list[tuple[int, float]] = []

    def ask() -> None:
        while not left_out.is_set():
            answered.append((caption(running.address).status_code, time.monotonic()))

    with ThreadPoolExecutor(CLIENTS) as clients:
        asking = [clients.submit(ask) for _ in range(CLIENTS)]
        time.sleep(2)
        told = time.monotonic() + hook_s
        threading.Timer(hook_s - 0.05, left_out.set).start()
        grace_left_s = running.stop()
        for one in asking:
            one.result()
    assert {status for status, _ in answered} == {200}
    assert sum(when > told for _, when in answered) >= 8, "some were under way"
    assert grace_left_s > 0
    for name in ("torchserve", "page"):
        state = running.inspect(name)["State"]
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False), name
