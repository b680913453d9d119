"""The operations snapshot: both services' figures, and what is missing when one is away."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.webui.administration import BEARER, TOKEN
from tests.webui.fake_torchserve import FakeTorchServe
from tests.webui.told_by_torchserve import METRICS, ON_GPU, VERSION
from webui.operations import page, prometheus


@pytest.fixture
def torchserve(torchserve: FakeTorchServe) -> FakeTorchServe:
    """With figures to tell."""
    torchserve.metrics = METRICS
    torchserve.versions = [VERSION, {**VERSION, "modelVersion": "2.0", "workers": []}]
    return torchserve


def snapshot(client: FlaskClient) -> dict[str, Any]:
    response = client.get("/api/operations", headers=BEARER)
    assert response.status_code == 200
    body: dict[str, Any] = response.get_json()
    return body


def test_torchserves_figures(administrator: FlaskClient, torchserve: FakeTorchServe) -> None:
    seen = snapshot(administrator)
    assert seen["problems"] == []
    assert seen["torchserve"]["requests"] == {"2xx": 26, "4xx": 1, "5xx": 0}
    by_version = {one["version"]: one for one in seen["torchserve"]["models"]}
    assert by_version["default"] == {
        "model": "captioner",
        "version": "default",
        "requests": 8,
        "inference_seconds": pytest.approx(0.9),
        "queue_seconds": pytest.approx(0.0678395),
        "batches": None,
        "pictures": None,
    }
    assert by_version["1.1"]["queue_seconds"] == 0  # a counter that was never counted up is absent


def test_batches_are_told_where_the_archive_counts_them(
    administrator: FlaskClient, torchserve: FakeTorchServe
) -> None:
    labels = '{ModelName="captioner",ModelVersion="1.1",Level="Model",Hostname="vm",}'
    torchserve.metrics += (
        f"# TYPE CaptionBatches counter\nCaptionBatches{labels} 4.0\n"
        f"# TYPE CaptionPictures counter\nCaptionPictures{labels} 10.0\n"
    )
    [counted] = [one for one in snapshot(administrator)["torchserve"]["models"] if one["batches"]]
    assert (counted["version"], counted["batches"], counted["pictures"]) == ("1.1", 4, 10)


def test_each_version_with_its_workers(administrator: FlaskClient) -> None:
    first, second = snapshot(administrator)["versions"]
    assert first == {
        "model": "captioner",
        "version": "1.1",
        "default": True,
        "workers": {"READY": 1, "UNLOADING": 1},
        "min_workers": 1,
        "max_workers": 2,
        "memory_bytes": 500_000_000,
        "started": 1767265200.0,
        "gpus": [],
        "queue": {"remaining": 60, "pending": 4},
        "batch_size": 8,
        "max_batch_delay_ms": 10,
    }
    assert (second["default"], second["workers"], second["started"]) == (False, {}, None)
    assert second["memory_bytes"] is None


def test_a_gpu_is_told_once_whoever_computes_on_it() -> None:
    gpu = {"id": 1, "utilisation": 0.37, "memory_bytes": 765 * 2**20}
    assert prometheus.gpus([ON_GPU, ON_GPU]) == [gpu]


@pytest.mark.parametrize("text", ["N/A", "failed to obtained gpu usage", ""])
def test_no_figures_of_a_gpu_are_no_gpu(text: str) -> None:
    assert prometheus.gpus([text]) == []


def test_our_own_figures(administrator: FlaskClient) -> None:
    administrator.post("/api/captions", data={"image": (io.BytesIO(b"x"), "p.jpg")})
    administrator.post("/api/captions")
    web = snapshot(administrator)["web"]
    counts = {(one["route"], one["status"]): one["count"] for one in web["requests"]}
    assert counts == {("/api/captions", 200): 1, ("/api/captions", 400): 1}
    [latency] = web["latency"]
    assert (latency["route"], latency["count"]) == ("/api/captions", 2)
    assert latency["sum_seconds"] > 0
    bounds = [bucket["le"] for bucket in latency["buckets"]]
    assert bounds[-1] is None
    assert bounds[:-1] == sorted(bounds[:-1])
    counted = [bucket["count"] for bucket in latency["buckets"]]
    assert counted == sorted(counted)
    assert counted[-1] == 2
    assert web["memory_bytes"] > 1e6
    assert web["started"] > 1e9


def test_while_torchserve_is_away_our_own_figures_stay(
    administrator: FlaskClient, torchserve: FakeTorchServe
) -> None:
    torchserve.stop()
    seen = snapshot(administrator)
    assert (seen["torchserve"], seen["versions"]) == (None, None)
    assert [(one["source"], one["type"]) for one in seen["problems"]] == [
        ("metrics", "CaptioningAway"),
        ("management", "CaptioningAway"),
    ]
    assert seen["web"]["memory_bytes"] > 1e6


def test_one_address_away_leaves_the_others_figures(make_app: Callable[..., Flask]) -> None:
    seen = snapshot(make_app(METRICS_URL="http://127.0.0.1:9", ADMIN_TOKEN=TOKEN).test_client())
    assert seen["torchserve"] is None
    assert [one["version"] for one in seen["versions"]] == ["1.1", "2.0"]
    assert [one["source"] for one in seen["problems"]] == ["metrics"]


@pytest.mark.parametrize(
    ("metrics", "versions", "source", "type_"),
    [
        ("not { a format", [VERSION], "metrics", "UnknownAnswer"),
        (METRICS, [{"modelName": "captioner"}], "management", "ManagementFailed"),
        (
            METRICS,
            [{**VERSION, "workers": [{"status": "READY"}]}],
            "management",
            "ManagementFailed",
        ),
    ],
)
def test_an_answer_that_is_not_understood_is_a_problem_without_its_text(
    administrator: FlaskClient,
    torchserve: FakeTorchServe,
    metrics: str,
    versions: list[dict[str, Any]],
    source: str,
    type_: str,
) -> None:
    torchserve.metrics, torchserve.versions = metrics, versions
    [problem] = snapshot(administrator)["problems"]
    assert (problem["source"], problem["type"]) == (source, type_)
    assert problem["message"].startswith("TorchServe gave an answer that ")
    assert "format" not in problem["message"]


def test_many_who_look_ask_torchserve_once(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe
) -> None:
    app = make_app(ADMIN_TOKEN=TOKEN)
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: snapshot(app.test_client()), range(8)))
    assert len(seen) == 8
    assert [one.path for one in torchserve.seen].count("/metrics") == 1


def test_later_it_asks_again(
    make_app: Callable[..., Flask], torchserve: FakeTorchServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "KEPT_S", 0.0)
    client = make_app(ADMIN_TOKEN=TOKEN).test_client()
    for _ in range(2):
        snapshot(client)
    assert [one.path for one in torchserve.seen].count("/metrics") == 2


def test_metrics_of_the_page_are_read_back_as_they_were_counted(administrator: FlaskClient) -> None:
    administrator.get("/")
    samples = prometheus.read(administrator.get("/metrics").text)
    web = prometheus.web(samples)
    assert web["requests"] == [{"route": "/", "method": "GET", "status": 200, "count": 1}]
