"""deploy/kubernetes: valid, and one with the code, the image and the metrics."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.deploy import observed
from tests.deploy.manifests import FOLDER, ROOT, check, read
from tests.deploy.test_compose import SECRETS, documented
from webui.telemetry.metrics import Metrics
from webui.web.settings import TORCHSERVE_LISTENERS

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


MANIFESTS = sorted(
    path.relative_to(FOLDER).as_posix()
    for path in FOLDER.glob("*/*.yaml")
    if path.name != "kustomization.yaml"
)
DEPLOYMENT = read("base/deployment.yaml")
POD = DEPLOYMENT["spec"]["template"]["spec"]
(MODELS, TORCHSERVE), (PAGE,) = POD["initContainers"], POD["containers"]
KSERVE = read("kserve/inferenceservice.yaml")["spec"]["predictor"]
SCALED = read("autoscaling/scaledobject.yaml")


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one.get("value") for one in container.get("env", [])}


def settings() -> dict[str, str]:
    """What the ConfigMap holds."""
    (generator,) = read("base/kustomization.yaml")["configMapGenerator"]
    return dict(line.split("=", 1) for line in generator["literals"])


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_valid(name: str) -> None:
    check(read(name))


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("base/deployment.yaml", ["spec", "template", "spec", "containers", 0, "port"], 8000),
        ("base/deployment.yaml", ["spec", "strategy", "rollingUpdate"], 1),
        ("base/networkpolicy.yaml", ["spec", "ingres"], []),
        ("shared/networkpolicy.yaml", ["spec", "egress", 0, "ports", 0, "port"], [6379]),
        ("base/disruption.yaml", ["spec", "maxUnavailable"], [1]),
        ("autoscaling/scaledobject.yaml", ["spec", "minReplicas"], 1),
        ("autoscaling/scaledobject.yaml", ["spec", "triggers", 0, "metadata", "threshold"], 8),
        ("autoscaling/scaledobject.yaml", ["spec", "triggers", 1, "metadata", "threshold"], "70/s"),
        ("autoscaling/scaledobject.yaml", ["spec", "triggers", 0, "metadata", "querry"], "up"),
        ("autoscaling/scaledobject.yaml", ["spec", "triggers", 0, "metricTyp"], "Value"),
        ("autoscaling/scaledobject.yaml", ["spec", "fallback", "behavior"], "sometimes"),
        (
            "autoscaling/scaledobject.yaml",
            ["spec", "advanced", "horizontalPodAutoscalerConfig", "behavior", "scaleDown"],
            {"stabilizationWindowSeconds": 3601},
        ),
        ("autoscaling/scaledobject.yaml", ["metadata", "lables"], {}),
        ("autoscaling/scaledobject.yaml", ["spec", "scaleTargetRef"], {}),
        ("kserve/inferenceservice.yaml", ["spec", "predictor", "replicas"], 1),
        ("kserve/inferenceservice.yaml", ["spec", "predictor", "containers", 0, "port"], 8000),
        ("kserve/inferenceservice.yaml", ["spec", "predictor", "minReplicas"], "1"),
        ("kserve/inferenceservice.yaml", ["spec", "predictor", "logger"], {"urls": "http://x"}),
        ("kserve/inferenceservice.yaml", ["spec", "predictor", "volumes"], "run"),
        ("kserve/inferenceservice.yaml", ["spec", "model"], {}),
        ("kserve/inferenceservice.yaml", ["metadata", "annotation"], {}),
    ],
)
def test_broken_ones_are_refused(name: str, place: list[str | int], value: object) -> None:
    broken = copy.deepcopy(read(name))
    *above, last = place
    target: Any = broken
    for step in above:
        target = target[step]
    target[last] = value
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        check(broken)


def test_every_file_has_its_place_in_a_kustomization() -> None:
    for folder in FOLDER.iterdir():
        if (folder / "kustomization.yaml").exists():
            listed = read(f"{folder.name}/kustomization.yaml")["resources"]
            there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
            assert {one for one in listed if not one.startswith("..")} == there
            assert all((folder / one).exists() for one in listed)


def test_the_gpu_is_given_to_torchserve() -> None:
    (patch,) = read("gpu/kustomization.yaml")["patches"]
    steps = yaml.safe_load(patch["patch"])
    place = "/spec/template/spec/initContainers/1"
    assert POD["initContainers"][1] is TORCHSERVE
    assert steps[0] == {"op": "test", "path": f"{place}/name", "value": "torchserve"}
    assert steps[1]["path"] == f"{place}/resources"
    assert steps[1]["value"]["limits"]["nvidia.com/gpu"] == "1"


def test_kserve_runs_the_same_pod() -> None:
    theirs = copy.deepcopy(KSERVE)
    theirs.pop("minReplicas")
    page = theirs["containers"][0]
    assert page.pop("name") == "kserve-container"
    assert page["readinessProbe"]["httpGet"].pop("path") == "/v2/health/ready"
    assert page["livenessProbe"]["httpGet"].pop("path") == "/v2/health/live"
    ours = copy.deepcopy(POD)
    page = ours["containers"][0]
    del page["name"], page["readinessProbe"]["httpGet"]["path"]
    del page["livenessProbe"]["httpGet"]["path"]
    assert theirs == ours


def test_nothing_writes_where_the_image_is() -> None:
    user = int(re.findall(r"^USER (\d+)", DOCKERFILE, re.M)[0])
    assert POD["securityContext"]["runAsUser"] == POD["securityContext"]["fsGroup"] == user
    assert POD["securityContext"]["runAsNonRoot"]
    assert not POD["automountServiceAccountToken"]
    for container in (MODELS, TORCHSERVE, PAGE):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted <= {volume["name"] for volume in POD["volumes"]}


def test_paths_are_those_of_the_image() -> None:
    """TorchServe's folder lies in the volume, which is root's: the launcher changes its mode."""
    home, state = (
        re.findall(rf"CAPTIONIZE_{name}_DIR=(\S+)", DOCKERFILE)[0] for name in ("RUN", "STATE")
    )
    for container in (TORCHSERVE, PAGE):
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["run"] == home
        assert mounts["models"] == "/app/model_store"
    assert mounts["state"] == state
    folder = environment(TORCHSERVE)["CAPTIONIZE_RUN_DIR"]
    assert Path(folder).parent == Path(home)
    assert environment(PAGE) == {
        "CAPTIONIZE_KEY_FILE": f"{folder}/key_file.json",
        "CAPTIONIZE_MODEL_LOG": f"{folder}/logs/model_log.log",
    }


def test_variables_are_known_and_secrets_are_in_the_secret() -> None:
    given = {*environment(PAGE), *settings()} | {
        name for name in environment(TORCHSERVE) if name.startswith("CAPTIONIZE_")
    }
    assert given <= documented()
    assert not given & SECRETS
    assert {one: PAGE["envFrom"][1][one]["optional"] for one in ["secretRef"]}["secretRef"]
    assert "envFrom" not in TORCHSERVE, "secrets are for the page alone"
    assert "EXTRAS_serve=fleet" in DOCKERFILE, "CAPTIONIZE_SHARED_STORE needs Redis's client"
    table = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert {name for name in SECRETS if name in table} == SECRETS


def test_ports_are_those_of_the_code_and_only_the_page_is_open() -> None:
    metrics = TORCHSERVE["ports"]
    assert environment(TORCHSERVE)["TS_METRICS_ADDRESS"].endswith(f":{metrics[0]['containerPort']}")
    assert TORCHSERVE_LISTENERS["metrics_address"].endswith(f":{metrics[0]['containerPort']}")
    assert not {"TS_INFERENCE_ADDRESS", "TS_MANAGEMENT_ADDRESS"} & environment(TORCHSERVE).keys()
    page = str(PAGE["ports"][0]["containerPort"])
    assert f"EXPOSE {page}" in DOCKERFILE
    annotations = DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == page
    policy = read("base/networkpolicy.yaml")["spec"]
    anybody, prometheus = policy["ingress"]
    assert anybody == {"ports": [{"port": PAGE["ports"][0]["name"]}]}
    assert prometheus["ports"] == [{"port": metrics[0]["name"]}]
    assert "egress" not in policy, "nothing leaves"
    opened = read("shared/networkpolicy.yaml")["spec"]
    assert opened["podSelector"] == policy["podSelector"]
    store, names = opened["egress"]
    assert f"@redis:{store['ports'][0]['port']}/0" in (ROOT / "docs" / "scale.md").read_text()
    assert {one["port"] for one in names["ports"]} == {53}
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert read("base/service.yaml")["spec"]["ports"][0]["targetPort"] == PAGE["ports"][0]["name"]


def test_the_page_ends_before_torchserve_and_in_time() -> None:
    assert TORCHSERVE["restartPolicy"] == "Always", "a sidecar ends last"
    sleep = PAGE["lifecycle"]["preStop"]["sleep"]["seconds"]
    finishing = 30  # seconds that docs/serving.md promises
    assert sleep + finishing < POD["terminationGracePeriodSeconds"]


def test_the_autoscaler_asks_for_metrics_that_there_are() -> None:
    names = {family.name for family in Metrics().registry.collect()}
    for trigger in SCALED["spec"]["triggers"]:
        for name in observed.metric_names(trigger["metadata"]["query"]):
            assert name.removesuffix("_total") in names
    assert SCALED["spec"]["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]
    assert "replicas" not in DEPLOYMENT["spec"]
    assert SCALED["spec"]["triggers"][0]["metadata"]["threshold"] == str(
        yaml.safe_load((ROOT / "handler" / "model-config.yaml").read_text())["batchSize"]
    )
    each = SCALED["spec"]["triggers"][1]["metadata"]["threshold"]
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert f"(`captionize_captions_total`; {each} a second for each Pod" in page
