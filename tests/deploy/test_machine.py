"""One machine: its unit, its proxy and what docs/cloud.md says of them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from benchmarks.fleet.costs import cost_table
from benchmarks.fleet.times import Measured
from webui.launcher.launch import GRACE_S, PAGE_GRACE_S

ROOT = Path(__file__).resolve().parents[2]
MACHINE = ROOT / "deploy" / "machine"
UNIT = (MACHINE / "captionize.service").read_text(encoding="utf-8")
CLOUD = (ROOT / "docs" / "cloud.md").read_text(encoding="utf-8")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def service() -> dict[str, str]:
    """The unit's section of that name; of a key that stands twice, the last."""
    parser = RawConfigParser(strict=False, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT)
    return dict(parser["Service"])


@pytest.mark.parametrize(
    ("old", "new", "fine"),
    [("", "", True), ("ExecStart=/", "ExecStart=/nowhere/", False), ("User=", "Usr=", False)],
)
def test_systemd_understands_the_unit(tmp_path: Path, old: str, new: str, fine: bool) -> None:
    if not (analyze := shutil.which("systemd-analyze")):
        pytest.skip("systemd-analyze is not installed")
    here = UNIT.replace("/opt/captionize/.venv/bin/python", sys.executable)
    unit = tmp_path / "captionize.service"
    unit.write_text(here.replace("/opt/captionize", str(ROOT)).replace(old, new))
    done = subprocess.run(
        [analyze, "verify", str(unit)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (said == [] and done.returncode == 0) == fine, done.stderr


def test_the_unit_gives_the_service_its_folders_and_its_time() -> None:
    unit = service()
    assert shlex.split(unit["ExecStart"])[1:] == ["-m", "webui.serve"]
    assert dict(one.split("=") for one in unit["Environment"].split()) == {
        "CAPTIONIZE_RUN_DIR": f"/run/{unit['RuntimeDirectory']}",
        "CAPTIONIZE_STATE_DIR": f"/var/lib/{unit['StateDirectory']}",
    }
    assert float(unit["TimeoutStopSec"]) > GRACE_S + PAGE_GRACE_S
    assert unit["ReadWritePaths"] == f"-{unit['WorkingDirectory']}/model_store"


def test_caddy_is_before_the_page_of_compose() -> None:
    plain, added = read(ROOT / "compose.yaml"), read(MACHINE / "compose.yaml")
    caddy, web = added["services"]["caddy"], added["services"]["web"]
    assert web["environment"]["CAPTIONIZE_PROXIES"] == "1"
    assert web["environment"].keys() < plain["services"]["web"]["environment"].keys()
    name, _, port = caddy["environment"]["CAPTIONIZE_UPSTREAM"].partition(":")
    assert name in plain["services"]
    assert plain["services"][name]["ports"][0].endswith(f":{port}")
    assert set(caddy["networks"]) & set(plain["services"][name]["networks"])
    mounts = dict(one.split(":")[:2] for one in caddy["volumes"])
    assert (ROOT / "deploy/machine/Caddyfile").samefile(ROOT / next(iter(mounts)))
    assert set(mounts) - {"./deploy/machine/Caddyfile"} == added["volumes"].keys()
    variables = set(re.findall(r"\{\$(\w+)", (MACHINE / "Caddyfile").read_text(encoding="utf-8")))
    assert variables == caddy["environment"].keys()


def test_the_ingress_leads_to_the_service() -> None:
    (block,) = re.findall(r"```yaml\n(apiVersion.*?)```", CLOUD, re.DOTALL)
    ingress = yaml.safe_load(block)
    kubernetes_validate.validate(ingress, "1.34", strict=True)
    target = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    real = read(ROOT / "deploy" / "kubernetes" / "base" / "service.yaml")
    assert target["name"] == real["metadata"]["name"]
    assert target["port"]["name"] in [port["name"] for port in real["spec"]["ports"]]


def test_the_costs_are_what_the_command_prints() -> None:
    """`python -m benchmarks.fleet --cost`, at the prices of the page."""
    cpu, gpu = re.findall(r"--cpu-price ([\d.]+) --gpu-price ([\d.]+)", CLOUD)[0]
    assert cost_table(Measured.read(), float(cpu), float(gpu)) in CLOUD
