"""What kubectl makes of the overlays of deploy/kubernetes: valid, and its parts fit together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.manifests import (
    OVERLAYS,
    ROOT,
    Manifest,
    check,
    containers,
    cpus,
    gibibytes,
    one_of,
    pod,
    render,
)

RUNNING = ["cpu", "gpu", "kserve"]  # those that have a Pod
DEPLOYED = ["cpu", "gpu"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_renders_what_is_valid(overlay: str) -> None:
    for manifest in render(overlay):
        check(manifest)


@pytest.mark.parametrize("overlay", RUNNING)
def test_all_of_a_pod_runs_one_image_in_the_order_that_is_meant(overlay: str) -> None:
    found = containers(pod(render(overlay)))
    assert list(found) == [
        "models",
        "torchserve",
        "kserve-container" if overlay == "kserve" else "page",
    ]
    tag = {"gpu": "cuda"}.get(overlay, "cpu")
    assert {one["image"] for one in found.values()} == {f"captionize:{tag}"}


@pytest.mark.parametrize("overlay", RUNNING)
def test_the_page_reads_the_configmap_that_is_rendered(overlay: str) -> None:
    """By a name that changes with what it says, so that a change starts new Pods."""
    manifests = render(overlay)
    name = one_of("ConfigMap", manifests)["metadata"]["name"]
    assert re.fullmatch("captionize" if overlay == "kserve" else "captionize-[a-z0-9]{10}", name)
    [page] = pod(manifests)["containers"]
    references = [
        (kind, what["name"]) for source in page["envFrom"] for kind, what in source.items()
    ]
    assert references == [("configMapRef", name), ("secretRef", "captionize")]


def selectors(manifest: Manifest) -> Iterator[dict[str, str]]:
    """What a manifest chooses Pods of its own namespace by."""
    spec = manifest["spec"]
    if manifest["kind"] == "Service":
        yield spec["selector"]
    elif manifest["kind"] in ("Deployment", "PodDisruptionBudget"):
        yield spec["selector"]["matchLabels"]
    elif manifest["kind"] == "NetworkPolicy":
        yield spec["podSelector"]["matchLabels"]


@pytest.mark.parametrize("overlay", DEPLOYED)
def test_every_selector_chooses_the_pods(overlay: str) -> None:
    manifests = render(overlay)
    labels = one_of("Deployment", manifests)["spec"]["template"]["metadata"]["labels"]
    with_spec = [one for one in [*manifests, *render("shared")] if "spec" in one]
    chosen = [one for manifest in with_spec for one in selectors(manifest)]
    assert len(chosen) == len(with_spec) == 5
    for selector in chosen:
        assert selector
        assert selector.items() <= labels.items()


def named_ports(part: Any) -> Iterator[str]:
    """Names that a manifest's part calls ports by."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("port", "targetPort") and isinstance(value, str):
                yield value
            else:
                yield from named_ports(value)
    elif isinstance(part, list):
        for one in part:
            yield from named_ports(one)


@pytest.mark.parametrize("overlay", RUNNING)
def test_every_name_of_a_port_is_one_of_a_container(overlay: str) -> None:
    manifests = render(overlay)
    ports = [port for one in containers(pod(manifests)).values() for port in one.get("ports", [])]
    assert set(named_ports(manifests)) == {port["name"] for port in ports} == {"http", "ts-metrics"}
    assert {port["containerPort"] for port in ports} == {8000, 8082}


@pytest.mark.parametrize("overlay", DEPLOYED)
def test_the_autoscaler_scales_the_deployment(overlay: str) -> None:
    target = one_of("ScaledObject", render("autoscaling"))["spec"]["scaleTargetRef"]
    assert target == {"name": one_of("Deployment", render(overlay))["metadata"]["name"]}


@pytest.mark.parametrize("overlay", RUNNING)
def test_what_a_pod_asks_for_is_what_the_page_says(overlay: str) -> None:
    """The sidecar and the page, which run together; what runs before them takes less."""
    found = containers(pod(render(overlay)))
    assert "OMP_NUM_THREADS" in {one["name"] for one in found["torchserve"]["env"]}, "or all cores"
    models, torchserve, page = (one["resources"] for one in found.values())
    sums = [
        sum(number(one["requests"][what]) for one in (torchserve, page))
        for what, number in (("cpu", cpus), ("memory", gibibytes))
    ]
    assert cpus(models["requests"]["cpu"]) < sums[0]
    assert gibibytes(models["limits"]["memory"]) < sums[1]
    page_of_docs = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert f"{sums[0]:g} CPUs and {sums[1]:g} GiB" in page_of_docs
    for one in (models, torchserve, page):
        assert gibibytes(one["requests"]["memory"]) <= gibibytes(one["limits"]["memory"])
    assert torchserve["requests"]["cpu"] == torchserve["limits"]["cpu"]
    assert torchserve["limits"].get("nvidia.com/gpu") == ("1" if overlay == "gpu" else None)
