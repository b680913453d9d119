"""The audit log: its lines, and what is recorded of a success and of an error."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from webui.administrator.audit import KEPT, Actor, Audit, Refused
from webui.web.problem import ServiceError

ACTOR = Actor("token", "192.0.2.1")


def test_the_audit_log_is_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    audit.record(ACTOR, "default", "done", "It is\nthe default.", model="m", version="1.0")
    audit.record(ACTOR, "upload", "refused", "é is no name.")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["default", "upload"]
    assert json.loads(lines[0])["message"] == "It is\nthe default."
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open("a") as file:
        file.write("{half a line\n[]\n")
    again = Audit(path)
    assert again.recent() == audit.recent()
    assert [one.action for one in again.recent()] == ["upload", "default"]


def test_only_the_newest_entries_are_kept_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    for number in range(KEPT + 5):
        audit.record(ACTOR, "scale", "done", str(number))
    assert len(path.read_text().splitlines()) == KEPT + 5
    for log in (audit, Audit(path)):
        assert len(log.recent()) == KEPT
        assert log.recent()[0].message == str(KEPT + 4)


def test_an_audit_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audit = Audit(tmp_path / "nowhere" / "audit.jsonl")
    audit.record(ACTOR, "scale", "done", "Scaled.")
    assert audit.recent()[0].message == "Scaled."
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize(
    ("error", "outcome", "message"),
    [
        (Refused("Not now."), "refused", "Not now."),
        (ServiceError("It broke.", code=502), "failed", "It broke."),
        (KeyError("secret"), "failed", "Unexpected error."),
    ],
)
def test_an_error_is_recorded_and_passed_on(error: Exception, outcome: str, message: str) -> None:
    audit = Audit(None)
    with (
        pytest.raises(type(error)),
        audit.recorded(ACTOR, "scale", model="m", version="1.0"),
    ):
        raise error
    [entry] = audit.recent()
    assert (entry.action, entry.outcome, entry.message) == ("scale", outcome, message)


def test_a_success_is_recorded_when_it_is_reported() -> None:
    audit = Audit(None)
    with audit.recorded(ACTOR, "scale"):
        pass
    assert audit.recent() == []
    with audit.recorded(ACTOR, "scale") as done:
        assert done("Scaled.") == "Scaled."
    assert [(one.outcome, one.message) for one in audit.recent()] == [("done", "Scaled.")]


def test_without_a_file_the_process_s_log_has_it(caplog: pytest.LogCaptureFixture) -> None:
    Audit(None).record(ACTOR, "scale", "done", "Scaled.")
    assert '"action": "scale"' in caplog.text
