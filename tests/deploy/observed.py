"""What deploy/observe asks of the service's metrics, and the programs that judge it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

OBSERVE = Path(__file__).resolve().parents[2] / "deploy" / "observe"
OWN = {"up", "ALERTS"}  # Prometheus makes these itself
WORDS = {"and", "or", "unless", "by", "on", "offset"}
# What of PromQL is no name of a metric: texts, selected labels, times, and the labels of by (...).
NO_NAME = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on) \([^)]*\)')
NAME = re.compile(r"\b[A-Za-z_][A-Za-z0-9_]*\b(?!\s*\()")
ADVICE = "{0} could not be had. On Debian or Ubuntu: apt-get download {0} must work."


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((OBSERVE / "grafana" / "captionize.json").read_text())
    return found


def panel_expressions() -> list[str]:
    """Every expression of the dashboard, with a time where Grafana puts in one of its own."""
    found = dashboard()
    targets = [target for panel in found["panels"] for target in panel["targets"]]
    asked = [one["expr"] for one in (*targets, *found["annotations"]["list"])]
    return [expression.replace("$__rate_interval", "1m") for expression in asked]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((OBSERVE / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metric_names(expression: str) -> set[str]:
    """The metrics that a PromQL expression asks for."""
    return set(NAME.findall(NO_NAME.sub("", expression))) - WORDS - OWN


@cache
def program(name: str, package: str = "prometheus") -> Path:
    """`prometheus`, `promtool` or `caddy`: the machine's, else out of Debian's package.

    It is not installed, for that would start a service; its programs need nothing else, and are
    kept beside this environment's own.
    """
    if found := shutil.which(name):
        return Path(found)
    kept = Path(sys.prefix) / package
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
            for command in (
                f"apt-get -q download {package}"
                f" || {{ apt-get -q update && apt-get -q download {package}; }}",
                f"dpkg-deb --extract {package}_*.deb .",
            ):
                if subprocess.run(command, shell=True, cwd=folder, check=False).returncode:
                    pytest.fail(ADVICE.format(package), pytrace=False)
            with contextlib.suppress(OSError):  # a test beside this one was faster
                (Path(folder) / "usr" / "bin").rename(kept)
    return kept / name


def promtool(*arguments: str) -> None:
    """Run promtool; what it finds fault with fails the test."""
    command = [str(program("promtool")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
