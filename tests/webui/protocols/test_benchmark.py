"""What benchmarks.protocols sends is what these APIs take, and its report is of one round each."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from benchmarks import protocols
from benchmarks.services import Load, Target
from tests.webui.fake_torchserve import FakeTorchServe
from tests.webui.protocols.sending import PICTURE


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "0.jpg"
    file.write_bytes(PICTURE)
    return file


@pytest.mark.parametrize("way", protocols.JSON_BODIES)
def test_bodies_in_json_are_taken(
    client: FlaskClient, torchserve: FakeTorchServe, picture: Path, way: str
) -> None:
    path, body = protocols.JSON_BODIES[way]
    (file,) = protocols.written([picture], body, picture.parent, "json")
    answer = client.post(path, data=file.read_bytes(), headers=protocols.JSON)
    assert answer.status_code == 200, answer.text
    assert torchserve.seen[-1].body == PICTURE


def test_the_binary_body_is_taken(
    client: FlaskClient, torchserve: FakeTorchServe, picture: Path
) -> None:
    target, (file,) = protocols.binary(Target("", "", {}), [picture], picture.parent)
    answer = client.post(target.path, data=file.read_bytes(), headers=dict(target.headers))
    assert answer.status_code == 200, answer.text
    assert torchserve.seen[-1].body == PICTURE


def test_a_ratio_is_of_one_round() -> None:
    def loads(*rates: int) -> list[Load]:
        return [Load(rate, 1.0, 0, 0, 20.0, 30.0, 40.0) for rate in rates]

    table = protocols.report({protocols.OWN: loads(50, 100, 80), "other": loads(40, 95, 76)})
    assert "0.95 (0.80 to 0.95) | met |" in table
    table = protocols.report({protocols.OWN: loads(50), "other": loads(40)})
    assert "0.80 (0.80 to 0.80) | **not met** |" in table
