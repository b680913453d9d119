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
        (ServiceError("There is none.", code=404), "refused", "There is none."),
        (KeyError("secret"), "failed", "Unexpected error; see the page's log."),
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
    with audit.recorded(ACTOR, "scale") as done:
        assert done("Scaled.") == "Scaled."
    assert [(one.outcome, one.message) for one in audit.recent()] == [("done", "Scaled.")]


def test_the_intent_is_recorded_before_the_act(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    with audit.recorded(ACTOR, "scale", model="m", version="1.0") as done:
        [begun] = [json.loads(line) for line in path.read_text().splitlines()]
        assert (begun["action"], begun["version"], begun["outcome"]) == ("scale", "1.0", "begun")
        assert [one.outcome for one in Audit(path).recent()] == ["begun"], "as after a crash"
        audit.record(ACTOR, "upload", "done", "Meanwhile.")
        done("Scaled.")
    outcome = json.loads(path.read_text().splitlines()[-1])
    assert (outcome["id"], outcome["outcome"]) == (begun["id"], "done")
    for log in (audit, Audit(path)):
        assert [(one.action, one.outcome) for one in log.recent()] == [
            ("scale", "done"),
            ("upload", "done"),
        ]


def test_half_a_line_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"time": "2026-')
    for _ in range(2):
        Audit(path).record(ACTOR, "scale", "done", "Scaled.")
    assert len(path.read_text().splitlines()) == 3
    assert [one.action for one in Audit(path).recent()] == ["scale", "scale"]


def test_log_ins_do_not_crowd_out_changes(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    audit.record(ACTOR, "default", "done", "It is the default.")
    for _ in range(2 * KEPT):
        audit.record(ACTOR, "login", "refused", "Wrong password.")
    for log in (audit, Audit(path)):
        assert len(log.recent()) == KEPT + 1
        assert log.recent()[-1].action == "default"


def test_lines_of_before_there_were_ids_are_read(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    Audit(path).record(ACTOR, "default", "done", "It is the default.")
    old = json.loads(path.read_text())
    del old["id"]
    path.write_text(f"{json.dumps(old)}\n" * 2)
    assert [one.action for one in Audit(path).recent()] == ["default", "default"]


def test_the_process_s_log_has_no_address(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for path in (None, tmp_path / "audit.jsonl", tmp_path / "nowhere" / "audit.jsonl"):
        Audit(path).record(ACTOR, "scale", "done", "Scaled.")
    assert "Scaled." in caplog.text
    assert ACTOR.address not in caplog.text
    assert ACTOR.address in (tmp_path / "audit.jsonl").read_text()


def test_without_a_file_the_process_s_log_has_it(caplog: pytest.LogCaptureFixture) -> None:
    Audit(None).record(ACTOR, "scale", "done", "Scaled.")
    assert '"action": "scale"' in caplog.text
