"""Prometheus's and Grafana's files: well-formed, and one with another and with compose.yaml."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.deploy import observed
from tests.deploy.observed import OBSERVE
from webui.operations import health

ROOT = OBSERVE.parents[1]
TESTED = Path(__file__).with_name("alerts_test.yml")
KINDS = {"stat", "timeseries"}
COLUMNS = 24  # of Grafana's grid


def test_the_dashboard_is_laid_out_without_overlaps() -> None:
    panels = observed.dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["type"] for panel in panels} == KINDS
    cells = Counter(
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    )
    assert set(cells.values()) == {1}
    assert max(x for x, _ in cells) < COLUMNS


def test_every_panel_says_what_it_shows_and_asks_the_provisioned_source() -> None:
    source = yaml.safe_load((OBSERVE / "grafana" / "datasource.yml").read_text())["datasources"][0]
    expected = {"type": source["type"], "uid": source["uid"]}
    found = observed.dashboard()
    for part in (*found["panels"], *found["annotations"]["list"]):
        assert part["datasource"] == expected
    for panel in found["panels"]:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names) > 0


def test_every_alert_says_how_grave_it_is_and_what_to_do() -> None:
    documented = (ROOT / "docs" / "operations.md").read_text()
    for rule in observed.rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert f"`{rule['alert']}`" in documented


def test_alerts_and_the_page_draw_the_line_at_the_same_place() -> None:
    asked = {rule["alert"]: rule["expr"] for rule in observed.rules()}
    assert asked["CaptionizeErrors"].endswith(f"> {health.FAILED_SHARE:g}")
    assert asked["CaptionizeSlow"].endswith(f"> {health.SLOW_S:g}")
    assert asked["CaptionizeQueueFilling"].endswith(f"> {health.FULL_SHARE:g}")


def test_compose_mounts_what_there_is_and_prometheus_asks_who_is_there() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for name in ("prometheus", "grafana"):
        assert services[name]["profiles"] == ["observe"]
        files = [one.split(":")[0] for one in services[name]["volumes"] if one.startswith(".")]
        assert files
        assert all((ROOT / file).is_file() for file in files)
    assert "ports" not in services["prometheus"]
    inside = {alias for one in services.values() for alias in aliases(one)} | set(services)
    config = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        for target in job["static_configs"][0]["targets"]:
            assert target.split(":")[0] in inside


def aliases(service: dict[str, object]) -> list[str]:
    networks = service.get("networks")
    return networks["inside"]["aliases"] if isinstance(networks, dict) else []


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (le) (rate(a_bucket{b="c"}[5m])) / 1e6', {"a_bucket"}),
        ('(sum(a{d="true"}) or vector(0)) == 0 and on () (up == 1)', {"a"}),
        ("a > 1.5 * a offset 6h unless B", {"a", "B"}),
    ],
)
def test_names_are_found_in_expressions(expression: str, names: set[str]) -> None:
    assert observed.metric_names(expression) == names


@pytest.mark.slow
def test_promtool_finds_no_fault_with_the_configuration() -> None:
    observed.promtool("check", "config", str(OBSERVE / "prometheus.yml"))


@pytest.mark.slow
def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    recorded = [
        {"record": f"panel_{number}", "expr": expression}
        for number, expression in enumerate(observed.panel_expressions())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    observed.promtool("check", "rules", "--lint-fatal", str(path))


@pytest.mark.slow
def test_alerts_fire_when_they_should_and_not_before() -> None:
    tested = yaml.safe_load(TESTED.read_text())["tests"]
    names = {case["alertname"] for one in tested for case in one["alert_rule_test"]}
    assert names == {rule["alert"] for rule in observed.rules()}
    observed.promtool("test", "rules", str(TESTED))
