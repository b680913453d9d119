"""What is said while the launcher starts TorchServe again, and to whom."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from tests.webui.administration import check
from tests.webui.captions.test_page import submit
from tests.webui.captions.uploading import post
from tests.webui.fake_torchserve import FakeTorchServe
from webui.torchserve.report import Report

RUNNING = Report("running", starts=1)
REASON = "TorchServe stopped unexpectedly (signal SIGKILL)"
STARTING = Report("starting", starts=1, failures=1, reason=REASON, log=["in /secret/path", "last"])


@pytest.fixture
def stopped(torchserve: FakeTorchServe) -> FakeTorchServe:
    torchserve.stop()
    STARTING.write(torchserve.key_file)
    return torchserve


def test_captions_are_503_and_worth_trying_again(
    client: FlaskClient, stopped: FakeTorchServe
) -> None:
    response = post(client)
    check(response, 503, "Restarting", "is being started again, which takes about 10 s")
    assert response.headers["Retry-After"] == "3"
    stopped.key_file.unlink()  # as at every start
    replace(STARTING, again_at=time.time() + 40, failures=5).write(stopped.key_file)
    response = post(client)
    check(response, 503, "Restarting", "stopped 5 times in a row")
    assert 45 < int(response.headers["Retry-After"]) <= 50


def test_the_page_says_so(client: FlaskClient, stopped: FakeTorchServe) -> None:
    response = submit(client)
    assert response.status_code == 503
    assert "<h2" in response.text.partition("The captioning service is being started again</h2>")[0]
    assert "secret" not in response.text


def test_readiness_says_so(client: FlaskClient, stopped: FakeTorchServe) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.get_json()["reason"]) == (503, "Restarting")
    assert response.get_json()["message"] == STARTING.sentence


def test_the_administrator_sees_the_log(
    administrator: FlaskClient, stopped: FakeTorchServe
) -> None:
    health = administrator.get("/api/operations").get_json()["health"]
    assert (health["state"], health["sentence"]) == ("bad", STARTING.sentence)
    assert health["cause"] == f"{REASON}. Its log ended with:\nin /secret/path\nlast"


def test_a_start_that_is_over_leaves_a_mark(
    administrator: FlaskClient, torchserve: FakeTorchServe
) -> None:
    RUNNING.write(torchserve.key_file)
    assert administrator.get("/api/operations").get_json()["marks"] == []
    replace(RUNNING, starts=2, reason=REASON).write(torchserve.key_file)
    [mark] = administrator.get("/api/operations").get_json()["marks"]
    assert mark["text"] == f"TorchServe was started again. {REASON}."


def test_what_the_launcher_has_not_noticed_yet_is_the_same(
    client: FlaskClient, torchserve: FakeTorchServe
) -> None:
    RUNNING.write(torchserve.key_file)
    torchserve.keys["inference"] = "another"
    check(post(client), 502, "CaptioningAway", "did not accept this page's key")
    torchserve.stop()
    check(post(client), 503, "Restarting", "started again")
