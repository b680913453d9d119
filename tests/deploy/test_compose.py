"""compose.yaml: every variable reaches the part that reads it, and what must last has a place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
WEB, TORCHSERVE = (COMPOSE["services"][name] for name in ("web", "torchserve"))
# Which compose takes for itself, to publish the page, and not to listen inside.
PUBLISHED = {"CAPTIONIZE_HOST", "CAPTIONIZE_PORT"}
# Ports that no other container could clash with, and folders where the image and the volumes are.
INSIDE = {
    *(f"CAPTIONIZE_{name}_PORT" for name in ("INFERENCE", "MANAGEMENT", "METRICS")),
    *(f"CAPTIONIZE_GRPC_{name}_PORT" for name in ("INFERENCE", "MANAGEMENT")),
    *("CAPTIONIZE_MODEL_STORE", "CAPTIONIZE_RUN_DIR"),
    "CAPTIONIZE_AUDIT_LOG",  # lies in the state folder, whose volume lasts
    "CAPTIONIZE_API_KEY",  # of a program outside
}
SECRETS = {
    *("CAPTIONIZE_ADMIN_PASSWORD_HASH", "CAPTIONIZE_ADMIN_TOKEN"),
    *("CAPTIONIZE_API_KEYS", "CAPTIONIZE_SECRET_KEY", "CAPTIONIZE_SHARED_STORE"),
}


def documented() -> set[str]:
    """The variables of the table."""
    table = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = "\n".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    return set(re.findall(r"`(CAPTIONIZE_\w+)`", rows))


def given(service: dict[str, Any]) -> set[str]:
    """The CAPTIONIZE_ variables that a service gets."""
    return {name for name in service["environment"] if name.startswith("CAPTIONIZE_")}


def test_every_variable_of_the_table_has_its_place() -> None:
    places = [given(WEB) | given(TORCHSERVE), PUBLISHED, INSIDE]
    assert set.union(*places) == documented()
    assert sum(map(len, places)) == len(documented())


def test_what_the_page_alone_reads_goes_to_it_alone() -> None:
    assert given(TORCHSERVE) == {"CAPTIONIZE_MODEL_NAME", "CAPTIONIZE_WORKERS"} < given(WEB)
    assert given(WEB) > SECRETS


def test_a_variable_without_a_value_is_passed_on_as_it_is() -> None:
    set_here = {"INFERENCE_URL", "MANAGEMENT_URL", "KEY_FILE", "MODEL_LOG", "STATE_DIR"}
    for service in (WEB, TORCHSERVE):
        for name in given(service):
            value = service["environment"][name]
            if name.removeprefix("CAPTIONIZE_") in set_here:
                assert "$" not in value
            else:
                assert value is None
    assert all(f"${{{name}:-" in " ".join(WEB["ports"]) for name in PUBLISHED)


@pytest.mark.parametrize("name", ["torchserve", "torchserve-gpu", "web"])
def test_nothing_is_published_but_the_page(name: str) -> None:
    service = COMPOSE["services"][name]
    assert ("ports" in service) is (name == "web")
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert service["read_only"]
    assert service["restart"] == "unless-stopped"


def test_what_must_last_has_a_volume_that_the_image_s_user_may_write() -> None:
    folder = WEB["environment"]["CAPTIONIZE_STATE_DIR"]
    assert f"state:{folder}" in WEB["volumes"]
    assert "state" in COMPOSE["volumes"]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    # A new volume takes over the owner of the folder that it is mounted on.
    made = re.search(r"install --directory --owner=captionize [^&]*", dockerfile)
    assert made
    assert folder in made[0].split()
    assert f"CAPTIONIZE_STATE_DIR={folder}" in dockerfile
